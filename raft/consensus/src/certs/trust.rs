//! Authorities as others see them, and what their signatures are worth.

use std::fmt;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use rcgen::PublicKeyData;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use tollbook_audit::Micros;

use super::CertError;

/// BLAKE3 of the DER of an authority's certificate. What a join token carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The certificate of an authority. Public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    pub(super) der: CertificateDer<'static>,
}

impl CaCertificate {
    /// Reads one from its DER.
    ///
    /// # Errors
    /// When the bytes are no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        let der = CertificateDer::from(der.to_vec());
        anchor_from_trusted_cert(&der)?;
        Ok(Self { der })
    }

    /// Reads the first certificate of a text.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(text: &str) -> Result<Self, CertError> {
        let wanted = "certificate";
        let der = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| CertError::Pem { wanted })?;
        Self::from_der(&der)
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem(&self.der)
    }

    /// What a join token carries of it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(*blake3::hash(&self.der).as_bytes())
    }

    /// When it ends. What it signed ends with it, at the latest.
    ///
    /// # Errors
    /// When the bytes are no certificate.
    pub fn expires(&self) -> Result<Micros, CertError> {
        expires(&self.der)
    }

    fn anchor(&self) -> Result<TrustAnchor<'_>, CertError> {
        Ok(anchor_from_trusted_cert(&self.der)?)
    }
}

/// Which end of a connection a certificate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Dialer,
    Listener,
}

/// Checks that one of `trusted` has signed `certificate` for `role`, and that it is good at `now`.
pub(crate) fn check(
    trusted: &[CaCertificate],
    certificate: &CertificateDer<'_>,
    role: Role,
    now: UnixTime,
) -> Result<(), CertError> {
    let anchors = trusted
        .iter()
        .map(CaCertificate::anchor)
        .collect::<Result<Vec<_>, _>>()?;
    let usage = match role {
        Role::Dialer => KeyUsage::client_auth(),
        Role::Listener => KeyUsage::server_auth(),
    };
    let algorithms = [webpki::ring::ED25519];
    // An authority signs nodes and nothing between, so there are no certificates in between.
    EndEntityCert::try_from(certificate)?.verify_for_usage(
        &algorithms,
        &anchors,
        &[],
        now,
        usage,
        None,
        None,
    )?;
    Ok(())
}

/// When a certificate ends. webpki shows no dates, but says at the end of time since when a
/// certificate is no longer good.
pub(crate) fn expires(certificate: &CertificateDer<'_>) -> Result<Micros, CertError> {
    let usage = KeyUsage::server_auth();
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let parsed = EndEntityCert::try_from(certificate)?;
    let verdict = parsed.verify_for_usage(&[], &[], &[], end_of_time, usage, None, None);
    match verdict {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            let micros = not_after.as_secs().checked_mul(1_000_000);
            micros.map(Micros).ok_or(CertError::Time)
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(CertError::Time),
    }
}

/// Whether a certificate is for this key.
pub(super) fn is_for(
    certificate: &CertificateDer<'_>,
    key: &impl PublicKeyData,
) -> Result<bool, CertError> {
    let certified = EndEntityCert::try_from(certificate)?.subject_public_key_info();
    Ok(certified.as_ref() == key.subject_public_key_info())
}

/// The Ed25519 key that a certificate is for.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<[u8; 32], CertError> {
    /// What stands before the key in DER (RFC 8410, section 4).
    const PREFIX: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let certified = EndEntityCert::try_from(certificate)?.subject_public_key_info();
    let key = certified.strip_prefix(&PREFIX);
    key.and_then(|key| key.try_into().ok())
        .ok_or(CertError::ForeignKey)
}

/// A certificate as text.
pub(super) fn pem(der: &CertificateDer<'_>) -> String {
    let body = Base64::encode_string(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
