//! The frontier against RFC 6962's own definition and published roots.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use tollbook_audit::hex;
use tollbook_audit::tree::{Hash, Tree, leaf_hash};

/// MTH of RFC 6962, section 2.1, as it is written there.
fn naive(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => Sha256::digest([&[0], one.as_slice()].concat()).into(),
        many => {
            let mut k = 1;
            while k * 2 < many.len() {
                k *= 2;
            }
            let (left, right) = many.split_at(k);
            Sha256::digest([&[1], naive(left).as_slice(), naive(right).as_slice()].concat()).into()
        }
    }
}

fn grown(leaves: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    for leaf in leaves {
        tree.push(leaf_hash(leaf));
    }
    tree
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Vec<u8>> = leaves.iter().map(|leaf| leaf.to_vec()).collect();
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(hex(&grown(&leaves[..size]).root()), *root, "size {size}");
    }
}

#[test]
fn every_size_up_to_two_hundred_agrees_with_the_definition() {
    let leaves: Vec<Vec<u8>> = (0_u32..200).map(|n| n.to_be_bytes().to_vec()).collect();
    let mut tree = Tree::new();
    for (at, leaf) in leaves.iter().enumerate() {
        assert_eq!(tree.root(), naive(&leaves[..at]));
        tree.push(leaf_hash(leaf));
        let again = Tree::from_peaks(tree.size(), tree.peaks().to_vec());
        assert_eq!(again.as_ref(), Some(&tree));
    }
}

#[test]
fn peaks_that_do_not_fit_the_size_are_no_tree() {
    assert_eq!(Tree::from_peaks(3, vec![[0; 32]]), None);
    assert_eq!(Tree::from_peaks(0, vec![[0; 32]]), None);
    assert_eq!(Tree::from_peaks(u64::MAX, vec![[0; 32]; 63]), None);
}

proptest! {
    #[test]
    fn any_leaves_have_the_root_of_the_definition(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        prop_assert_eq!(grown(&leaves).root(), naive(&leaves));
    }
}
