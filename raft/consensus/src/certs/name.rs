//! The name that a node's certificate carries.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::CertError;
use crate::types::NodeId;

const SUFFIX: &str = ".tollbook.internal";
const PREFIX: &str = "node-";

/// `node-<id>.<cluster id in hex>.tollbook.internal`
pub(crate) fn name_of(cluster: &[u8; 16], node: NodeId) -> String {
    let cluster = u128::from_be_bytes(*cluster);
    format!("{PREFIX}{node}.{cluster:032x}{SUFFIX}")
}

/// The cluster and node that a certificate is for. It must carry one name, of the one form: what
/// is read of it gives the same name when written.
pub(crate) fn node_of(certificate: &CertificateDer<'_>) -> Result<([u8; 16], NodeId), CertError> {
    let parsed = EndEntityCert::try_from(certificate)?;
    let mut names = parsed.valid_dns_names();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(CertError::Name);
    };
    if parsed.valid_uri_names().next().is_some() {
        return Err(CertError::Name);
    }
    parse(name).ok_or(CertError::Name)
}

fn parse(name: &str) -> Option<([u8; 16], NodeId)> {
    let labels = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (node, cluster) = labels.split_once('.')?;
    let node = NodeId::from(node.parse::<u32>().ok().filter(|node| *node != 0)?);
    let cluster = u128::from_str_radix(cluster, 16).ok()?.to_be_bytes();
    (name_of(&cluster, node) == name).then_some((cluster, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_was_written() {
        for node in [1, 7, u64::from(u32::MAX)] {
            let cluster = [0xab; 16];
            assert_eq!(parse(&name_of(&cluster, node)), Some((cluster, node)));
            let zero = [0; 16];
            assert_eq!(parse(&name_of(&zero, node)), Some((zero, node)));
        }
    }

    #[test]
    fn other_spellings_are_no_names() {
        let good = name_of(&[0xab; 16], 7);
        assert!(parse(&good).is_some());
        for bad in [
            good.replace("node-7", "node-07"),
            good.replace("node-7", "node-+7"),
            good.replace("node-7", "node-0"),
            good.replace("node-7", "node-4294967296"),
            good.replace("node-7", "node-"),
            good.replace("ab", "AB"),
            good.replacen("ab", "", 1),
            good.replace("node-7.", "node-7.0."),
            good.replace("internal", "external"),
            format!("x{good}"),
            format!("{good}."),
            String::new(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
