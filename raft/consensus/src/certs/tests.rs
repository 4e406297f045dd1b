//! Certificates that hold, and each that must not.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use tollbook_audit::Micros;

use super::trust::expires;
use super::*;

const CLUSTER: [u8; 16] = [0xc1; 16];
const NOW: Micros = Micros(1_790_000_000_000_000);

fn at(micros: Micros) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_micros(micros.0))
}

fn authority() -> Authority {
    Authority::generate(CLUSTER, NOW).unwrap()
}

fn identity(authority: &Authority, node: NodeId) -> Identity {
    let key = NodeKey::generate().unwrap();
    let certificate = authority
        .issue(node, &key.proved(), NOW, CERTIFICATE_LIFE)
        .unwrap();
    let trusted = vec![authority.certificate().clone()];
    Identity::new(CLUSTER, node, key, &certificate, trusted).unwrap()
}

#[test]
fn a_certificate_names_its_node_and_ends_when_it_was_said() {
    let identity = identity(&authority(), 7);
    let certificate = CertificateDer::from(identity.certificate());
    assert_eq!(node_of(&certificate).unwrap(), (CLUSTER, 7));
    let end = NOW.0 + u64::try_from(CERTIFICATE_LIFE.as_micros()).unwrap();
    assert_eq!(identity.expires(), Micros(end));
}

#[test]
fn a_certificate_is_good_from_an_hour_before_until_its_end() {
    let authority = authority();
    let identity = identity(&authority, 7);
    let trusted = [authority.certificate().clone()];
    let certificate = CertificateDer::from(identity.certificate());
    let hour = 3_600_000_000;
    let good = [NOW.0 - hour, NOW.0, identity.expires().0];
    let bad = [NOW.0 - hour - 1_000_000, identity.expires().0 + 1_000_000];
    for role in [Role::Dialer, Role::Listener] {
        for micros in good {
            check(&trusted, &certificate, role, at(Micros(micros))).unwrap();
        }
        for micros in bad {
            let found = check(&trusted, &certificate, role, at(Micros(micros)));
            assert!(matches!(
                found,
                Err(CertError::Untrusted(
                    webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }
                ))
            ));
        }
    }
}

#[test]
fn no_certificate_outlives_its_authority() {
    let authority = authority();
    let key = NodeKey::generate().unwrap();
    let ten_years_on = Micros(NOW.0 + 9 * 365 * 24 * 3_600_000_000 + 360 * 24 * 3_600_000_000);
    let certificate = authority.issue(7, &key.proved(), ten_years_on, CERTIFICATE_LIFE);
    let end = authority.certificate().expires().unwrap();
    assert_eq!(expires(&certificate.unwrap()).unwrap(), end);
    let after = Micros(end.0 + 2 * 3_600_000_000);
    let late = authority.issue(7, &key.proved(), after, CERTIFICATE_LIFE);
    assert!(matches!(late, Err(CertError::Time)));
}

#[test]
fn another_authority_is_not_believed_until_it_is_trusted() {
    let (old, young) = (authority(), authority());
    let identity = identity(&young, 7);
    let certificate = CertificateDer::from(identity.certificate());
    let one = [old.certificate().clone()];
    assert!(matches!(
        check(&one, &certificate, Role::Dialer, at(NOW)),
        Err(CertError::Untrusted(webpki::Error::UnknownIssuer))
    ));
    let both = [old.certificate().clone(), young.certificate().clone()];
    check(&both, &certificate, Role::Dialer, at(NOW)).unwrap();
    check(&both, &certificate, Role::Listener, at(NOW)).unwrap();
}

#[test]
fn a_node_is_no_authority() {
    let authority = authority();
    let node = identity(&authority, 7);
    let text = node.to_pem();
    assert!(matches!(
        Authority::from_pem(CLUSTER, &text),
        Err(CertError::ForeignKey)
    ));
    let ca = CertificateDer::from(authority.certificate().der());
    let trusted = [authority.certificate().clone()];
    assert!(check(&trusted, &ca, Role::Listener, at(NOW)).is_err());
}

#[test]
fn texts_read_as_they_were_written() {
    let made = authority();
    let read = Authority::from_pem(CLUSTER, &made.to_pem()).unwrap();
    assert_eq!(read.certificate(), made.certificate());
    assert_eq!(
        read.certificate().fingerprint(),
        made.certificate().fingerprint()
    );
    // What the one that was read signs, those who trust the one that was made believe.
    let key = NodeKey::generate().unwrap();
    let certificate = read.issue(7, &key.proved(), NOW, CERTIFICATE_LIFE).unwrap();
    let trusted = vec![made.certificate().clone()];
    let identity = Identity::new(CLUSTER, 7, key, &certificate, trusted).unwrap();
    let again = Identity::from_pem(CLUSTER, 7, &identity.to_pem()).unwrap();
    assert_eq!(again.certificate(), identity.certificate());
    assert_eq!(again.key().public(), identity.key().public());
    assert_eq!(again.trusted(), identity.trusted());
    assert_eq!(again.expires(), identity.expires());
}

#[test]
fn an_authority_is_of_one_cluster() {
    let text = authority().to_pem();
    assert!(matches!(
        Authority::from_pem([2; 16], &text),
        Err(CertError::ForeignKey)
    ));
}

#[test]
fn an_identity_fits_together_or_is_none() {
    let authority = authority();
    let trusted = || vec![authority.certificate().clone()];
    let key = NodeKey::generate().unwrap();
    let certificate = authority
        .issue(7, &key.proved(), NOW, CERTIFICATE_LIFE)
        .unwrap();
    let key = || NodeKey::from_pem(&key.to_pem()).unwrap();
    let made = Identity::new(CLUSTER, 8, key(), &certificate, trusted());
    assert!(matches!(made, Err(CertError::AnotherNode { .. })));
    let made = Identity::new([2; 16], 7, key(), &certificate, trusted());
    assert!(matches!(made, Err(CertError::AnotherNode { .. })));
    let foreign = NodeKey::generate().unwrap();
    let made = Identity::new(CLUSTER, 7, foreign, &certificate, trusted());
    assert!(matches!(made, Err(CertError::ForeignKey)));
    let made = Identity::new(CLUSTER, 7, key(), &certificate, Vec::new());
    assert!(matches!(made, Err(CertError::Authorities { count: 0 })));
    let three = [trusted(), trusted(), trusted()].concat();
    let made = Identity::new(CLUSTER, 7, key(), &certificate, three);
    assert!(matches!(made, Err(CertError::Authorities { count: 3 })));
    let stranger = vec![self::authority().certificate().clone()];
    let made = Identity::new(CLUSTER, 7, key(), &certificate, stranger);
    assert!(matches!(made, Err(CertError::Untrusted(_))));
    Identity::new(CLUSTER, 7, key(), &certificate, trusted()).unwrap();
}

#[test]
fn possession_is_proved_for_one_token_and_one_key() {
    let key = NodeKey::generate().unwrap();
    let proof = key.prove(b"token").unwrap();
    ProvedKey::check(key.public(), b"token", &proof).unwrap();
    let other = NodeKey::generate().unwrap();
    for (public, token, proof) in [
        (other.public(), &b"token"[..], &proof[..]),
        (key.public(), b"tokem", &proof),
        (key.public(), b"toke", &proof),
        (key.public(), b"token", &other.prove(b"token").unwrap()),
        (key.public(), b"token", b""),
        (key.public(), b"token", &[0; 64]),
    ] {
        let found = ProvedKey::check(public, token, proof);
        assert!(matches!(found, Err(CertError::Proof)));
    }
    let long = vec![0; TOKEN_ID_BYTES_LIMIT + 1];
    assert!(matches!(key.prove(&long), Err(CertError::TooLong { .. })));
}

#[test]
fn ids_that_no_node_has_get_no_certificate() {
    let authority = authority();
    let key = NodeKey::generate().unwrap();
    for node in [0, u64::from(u32::MAX) + 1, u64::MAX] {
        let issued = authority.issue(node, &key.proved(), NOW, CERTIFICATE_LIFE);
        assert!(matches!(issued, Err(CertError::NodeId { .. })));
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    for bytes in [&b""[..], b"\x30\x00", &[0x30; 600]] {
        assert!(CaCertificate::from_der(bytes).is_err());
        let der = CertificateDer::from(bytes);
        assert!(node_of(&der).is_err());
        assert!(expires(&der).is_err());
    }
    assert!(CaCertificate::from_pem("").is_err());
    assert!(NodeKey::from_pem("").is_err());
    assert!(Identity::from_pem(CLUSTER, 7, "").is_err());
}
