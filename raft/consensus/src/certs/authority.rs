//! The key that says who is a node.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use tollbook_audit::Micros;

use super::key::{NodeKey, ProvedKey};
use super::trust::{CaCertificate, is_for};
use super::{AUTHORITY_LIFE, BACKDATE, CertError, name_of};
use crate::types::NodeId;

/// The last second that a certificate can name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Signs the certificates of a cluster's nodes. Whoever holds it can be any node.
pub struct Authority {
    cluster: [u8; 16],
    key: NodeKey,
    certificate: CaCertificate,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificate", &self.certificate.fingerprint())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A fresh authority of a cluster, good for [`AUTHORITY_LIFE`].
    ///
    /// # Errors
    /// When the system has no randomness, or `now` cannot stand in a certificate.
    pub fn generate(cluster: [u8; 16], now: Micros) -> Result<Self, CertError> {
        let key = NodeKey::generate()?;
        let ends = seconds(now, AUTHORITY_LIFE)?;
        let mut params = params(now, ends, subject(&cluster, &key))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let signed = params.self_signed(key.signs())?;
        let certificate = CaCertificate::from_der(signed.der())?;
        Ok(Self {
            cluster,
            key,
            certificate,
        })
    }

    /// Reads what [`Self::to_pem`] wrote. The cluster's id is not in it: the caller knows it.
    ///
    /// # Errors
    /// When the text lacks a key or a certificate, or they do not belong together or to `cluster`.
    pub fn from_pem(cluster: [u8; 16], text: &str) -> Result<Self, CertError> {
        let key = NodeKey::from_pem(text)?;
        let certificate = CaCertificate::from_pem(text)?;
        if !is_for(&certificate.der, key.signs())? {
            return Err(CertError::ForeignKey);
        }
        let authority = Self {
            cluster,
            key,
            certificate,
        };
        // Its subject, which holds the cluster's id, is made anew from the key: a certificate
        // under another subject could not be told as the issuer of what this authority signs.
        let probe = authority.issue(1, &authority.key.proved(), Micros(0), BACKDATE)?;
        let issued = webpki::EndEntityCert::try_from(&probe)?;
        let own = webpki::EndEntityCert::try_from(&authority.certificate.der)?;
        if issued.issuer() != own.subject() {
            return Err(CertError::ForeignKey);
        }
        Ok(authority)
    }

    /// Key and certificate as text, for whoever keeps the authority.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = self.key.to_pem();
        let certificate = self.certificate.to_pem();
        // Sized ahead: a text that grows leaves copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(key.len() + certificate.len()));
        text.push_str(&key);
        text.push_str(&certificate);
        text
    }

    /// What nodes trust.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// A node's certificate in DER: good from an hour before `now` until `life` after it, but no
    /// longer than the authority's own.
    ///
    /// # Errors
    /// When the id is none of a node, or the times cannot stand in a certificate.
    pub fn issue(
        &self,
        node: NodeId,
        key: &ProvedKey,
        now: Micros,
        life: Duration,
    ) -> Result<CertificateDer<'static>, CertError> {
        if node == 0 || u32::try_from(node).is_err() {
            return Err(CertError::NodeId { node });
        }
        let own_end = self.certificate.expires()?.0 / 1_000_000;
        let ends = seconds(now, life)?.min(own_end);
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, format!("node-{node}"));
        let mut params = params(now, ends, subject)?;
        let name = name_of(&self.cluster, node);
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = self::subject(&self.cluster, &self.key);
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(issuer, self.key.signs());
        Ok(params.signed_by(key, &issuer)?.into())
    }
}

/// Two authorities of one cluster differ by their key's beginning, so that a chain leads to one.
fn subject(cluster: &[u8; 16], key: &NodeKey) -> DistinguishedName {
    let cluster = u128::from_be_bytes(*cluster);
    let hash = blake3::hash(key.signs().der_bytes()).to_hex();
    let short: String = hash.chars().take(16).collect();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, format!("{cluster:032x}"));
    subject.push(DnType::CommonName, format!("tollbook authority {short}"));
    subject
}

fn params(
    now: Micros,
    ends: u64,
    subject: DistinguishedName,
) -> Result<CertificateParams, CertError> {
    let begins = (now.0 / 1_000_000).saturating_sub(BACKDATE.as_secs());
    if begins > ends || ends > LAST_SECOND {
        return Err(CertError::Time);
    }
    let mut serial = [0; 16];
    default_provider()
        .secure_random
        .fill(&mut serial)
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(begins);
    params.not_after = epoch + Duration::from_secs(ends);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = subject;
    Ok(params)
}

fn seconds(now: Micros, life: Duration) -> Result<u64, CertError> {
    (now.0 / 1_000_000)
        .checked_add(life.as_secs())
        .ok_or(CertError::Time)
}
