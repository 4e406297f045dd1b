//! What a node shows its peers, and whom it believes.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::Zeroizing;

use tollbook_audit::Micros;

use super::key::{NodeKey, bounded};
use super::trust::{CaCertificate, Role, check, expires, is_for, pem};
use super::{AUTHORITIES_LIMIT, CertError, PEM_BYTES_LIMIT, name_of, node_of};
use crate::types::NodeId;

/// A node's key, its certificate, and the authorities that it trusts: one, or two during a
/// change of authority. Complete and consistent by construction; it may have expired.
#[derive(Debug)]
pub struct Identity {
    cluster: [u8; 16],
    node: NodeId,
    key: NodeKey,
    certificate: CertificateDer<'static>,
    trusted: Vec<CaCertificate>,
    expires: Micros,
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When the certificate is not this node's, not of this key, or not signed by one of
    /// `trusted`; when `trusted` holds none or more than two.
    pub fn new(
        cluster: [u8; 16],
        node: NodeId,
        key: NodeKey,
        certificate: &[u8],
        trusted: Vec<CaCertificate>,
    ) -> Result<Self, CertError> {
        if trusted.is_empty() || trusted.len() > AUTHORITIES_LIMIT {
            let count = trusted.len();
            return Err(CertError::Authorities { count });
        }
        let certificate = CertificateDer::from(certificate.to_vec());
        let (named_cluster, named_node) = node_of(&certificate)?;
        if (named_cluster, named_node) != (cluster, node) {
            return Err(CertError::AnotherNode {
                named: name_of(&named_cluster, named_node),
                wanted: name_of(&cluster, node),
            });
        }
        if !is_for(&certificate, key.signs())? {
            return Err(CertError::ForeignKey);
        }
        let expires = expires(&certificate)?;
        // At its own last moment: a node whose certificate has run out starts all the same, so
        // that it can say so.
        let last = std::time::Duration::from_micros(expires.0);
        for role in [Role::Dialer, Role::Listener] {
            let last = UnixTime::since_unix_epoch(last);
            check(&trusted, &certificate, role, last)?;
        }
        Ok(Self {
            cluster,
            node,
            key,
            certificate,
            trusted,
            expires,
        })
    }

    /// Reads what [`Self::to_pem`] wrote.
    ///
    /// # Errors
    /// As [`Self::new`], and when the text is not of that form.
    pub fn from_pem(cluster: [u8; 16], node: NodeId, text: &str) -> Result<Self, CertError> {
        bounded("keys and certificates", text.len(), PEM_BYTES_LIMIT)?;
        let wanted = "certificate";
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            certificates.push(certificate.map_err(|_| CertError::Pem { wanted })?);
        }
        let Some((own, trusted)) = certificates.split_first() else {
            return Err(CertError::Pem { wanted });
        };
        let trusted = trusted
            .iter()
            .map(|der| CaCertificate::from_der(der))
            .collect::<Result<_, _>>()?;
        Self::new(cluster, node, NodeKey::from_pem(text)?, own, trusted)
    }

    /// Key, certificate and trusted authorities as text, for a file that only the node's user
    /// reads.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = self.key.to_pem();
        let authorities = self.trusted.iter().map(CaCertificate::to_pem);
        let public: Vec<_> = std::iter::once(pem(&self.certificate))
            .chain(authorities)
            .collect();
        // Sized ahead: a text that grows leaves copies of the key behind.
        let public = public.concat();
        let mut text = Zeroizing::new(String::with_capacity(key.len() + public.len()));
        text.push_str(&key);
        text.push_str(&public);
        text
    }

    /// The same node and key with another certificate or other authorities: for renewal, and for
    /// either step of a change of authority.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renewed(
        &self,
        certificate: &[u8],
        trusted: Vec<CaCertificate>,
    ) -> Result<Self, CertError> {
        let key = self.key.copied()?;
        Self::new(self.cluster, self.node, key, certificate, trusted)
    }

    /// When its certificate ends.
    #[must_use]
    pub const fn expires(&self) -> Micros {
        self.expires
    }

    /// The cluster that it is for.
    #[must_use]
    pub const fn cluster(&self) -> [u8; 16] {
        self.cluster
    }

    /// The node that it is for.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The node's key.
    #[must_use]
    pub const fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The node's certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The authorities that it trusts.
    #[must_use]
    pub fn trusted(&self) -> &[CaCertificate] {
        &self.trusted
    }

    /// What it shows: its certificate, then the authorities, so that who knows no more than a
    /// fingerprint finds the one it belongs to.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let authorities = self.trusted.iter().map(|trusted| trusted.der.clone());
        std::iter::once(self.certificate.clone())
            .chain(authorities)
            .collect()
    }
}
