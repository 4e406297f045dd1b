//! One checkpoint on its way to a majority: who has signed, who has another root.

use std::collections::{BTreeMap, BTreeSet};

use tollbook_audit::note::{Checkpoint, Note, NoteError, VerifierKey, join_signatures};
use tollbook_audit::trust::{Trust, TrustError, cluster_text};

use super::{Divergence, Root};
use crate::types::NodeId;

/// Whose cosignatures count, and how many are enough: what the auditor's trust file of these
/// voters says.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    voters: BTreeMap<NodeId, VerifierKey>,
    trust: Trust,
    majority: usize,
}

impl Rule {
    /// Of no voters, of two with one key, or of more than a trust file names, none is made.
    pub(super) fn new(
        log: &VerifierKey,
        voters: BTreeMap<NodeId, VerifierKey>,
    ) -> Result<Self, TrustError> {
        let majority = voters.len() / 2 + 1;
        let nodes: Vec<(String, VerifierKey)> = voters
            .iter()
            .map(|(node, key)| (format!("n{node}"), key.clone()))
            .collect();
        let text = cluster_text(std::slice::from_ref(log), &nodes, majority)?;
        Ok(Self {
            trust: Trust::parse(text.as_bytes())?,
            voters,
            majority,
        })
    }

    /// Whether the log's key has signed this very checkpoint and a majority has cosigned it.
    pub(super) fn holds(&self, checkpoint: &Checkpoint, note: &str) -> bool {
        let checked = Note::parse(note.as_bytes()).and_then(|note| {
            let opened = self.trust.open(&note)?;
            Ok(opened == *checkpoint && self.trust.is_quorate(&note)?)
        });
        checked == Ok(true)
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.voters.keys().copied()
    }
}

/// What has come of it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A majority of voters has another root at this size; what the first of them said.
    Contradicted(Divergence),
    /// Neither yet.
    Open,
    /// A note that counts.
    Signed { note: String },
}

/// A checkpoint that this node has promised and signed, and what the voters answered.
#[derive(Clone, Debug)]
pub(super) struct Round {
    checkpoint: Checkpoint,
    /// Signed by the log's key.
    note: String,
    rule: Rule,
    lines: BTreeMap<NodeId, String>,
    differing: BTreeSet<NodeId>,
    other: Option<(NodeId, Root)>,
}

impl Round {
    pub(super) fn new(checkpoint: Checkpoint, note: String, rule: Rule) -> Self {
        Self {
            checkpoint,
            note,
            rule,
            lines: BTreeMap::new(),
            differing: BTreeSet::new(),
            other: None,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// A node's cosignature. One of a node that is no voter, or that does not verify, is an error
    /// and counts for nothing.
    pub(super) fn signed(&mut self, node: NodeId, line: String) -> Result<(), NoteError> {
        let key = self.rule.voters.get(&node).ok_or(NoteError::Unsigned)?;
        key.check_cosignature(&self.checkpoint, &line)?;
        self.lines.insert(node, line);
        Ok(())
    }

    /// A voter has another root at this size.
    pub(super) fn differs(&mut self, node: NodeId, root: Root) {
        if root != self.checkpoint.root && self.rule.voters.contains_key(&node) {
            self.differing.insert(node);
            self.other.get_or_insert((node, root));
        }
    }

    pub(super) fn standing(&self) -> Standing {
        if let Some((node, root)) = self.other
            && self.differing.len() >= self.rule.majority
        {
            return Standing::Contradicted(Divergence {
                size: self.checkpoint.size,
                own: self.checkpoint.root,
                other: root,
                node,
                note: None,
            });
        }
        if self.lines.len() < self.rule.majority {
            return Standing::Open;
        }
        match join_signatures(&self.note, self.lines.values().map(String::as_str)) {
            Ok(note) if self.rule.holds(&self.checkpoint, &note) => Standing::Signed { note },
            // Verified lines of distinct keys meet the rule, unless there are more than a note
            // holds. What the auditor would refuse is not published.
            Ok(_) | Err(_) => Standing::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use tollbook_audit::note::{LogKey, NodeKey};

    use super::*;

    fn log() -> LogKey {
        LogKey::from_seed("o.example", &[7; 32]).unwrap()
    }

    fn key(node: u8) -> NodeKey {
        NodeKey::from_seed(&format!("o.example/n{node}"), &[node; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "o.example".to_owned(),
            size: 3,
            root: [1; 32],
        }
    }

    fn round(voters: u8) -> Round {
        let voters = (1..=voters).map(|node| (u64::from(node), key(node).verifier()));
        let rule = Rule::new(&log().verifier(), voters.collect()).unwrap();
        Round::new(checkpoint(), log().sign(&checkpoint()), rule)
    }

    #[test]
    fn a_note_comes_with_the_majority_and_not_before() {
        for (voters, majority) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (64, 33)] {
            let mut round = round(voters);
            for node in 1..=majority {
                assert_eq!(round.standing(), Standing::Open, "{node} of {voters}");
                let line = key(node).cosign(&checkpoint(), 5);
                assert_eq!(round.signed(u64::from(node), line), Ok(()));
            }
            let Standing::Signed { note } = round.standing() else {
                panic!("{majority} of {voters} are enough");
            };
            assert!(round.rule.holds(&checkpoint(), &note));
            let other = Checkpoint {
                size: 4,
                ..checkpoint()
            };
            assert!(!round.rule.holds(&other, &note));
        }
    }

    #[test]
    fn lines_of_others_and_of_other_checkpoints_count_for_nothing() {
        let mut round = round(3);
        let good = key(1).cosign(&checkpoint(), 5);
        assert_eq!(round.signed(1, good.clone()), Ok(()));
        assert_eq!(round.signed(1, key(1).cosign(&checkpoint(), 6)), Ok(()));
        let other = Checkpoint {
            root: [2; 32],
            ..checkpoint()
        };
        for (node, line, error) in [
            (2, good, NoteError::Unsigned),
            (2, key(2).cosign(&other, 5), NoteError::Signature),
            (9, key(9).cosign(&checkpoint(), 5), NoteError::Unsigned),
            (2, "x".to_owned(), NoteError::Syntax),
        ] {
            assert_eq!(round.signed(node, line), Err(error));
        }
        assert_eq!(round.standing(), Standing::Open);
    }

    #[test]
    fn a_majority_with_another_root_contradicts_and_one_does_not() {
        let mut round = round(3);
        round.differs(2, [1; 32]);
        round.differs(9, [2; 32]);
        round.differs(2, [2; 32]);
        round.differs(2, [3; 32]);
        assert_eq!(round.standing(), Standing::Open);
        round.differs(3, [2; 32]);
        let divergence = Divergence {
            size: 3,
            own: [1; 32],
            other: [2; 32],
            node: 2,
            note: None,
        };
        assert_eq!(round.standing(), Standing::Contradicted(divergence));
    }

    #[test]
    fn no_rule_is_made_of_nobody_or_of_one_key_twice() {
        let log = log().verifier();
        assert!(Rule::new(&log, BTreeMap::new()).is_err());
        let twice = BTreeMap::from([(1, key(1).verifier()), (2, key(1).verifier())]);
        assert!(Rule::new(&log, twice).is_err());
    }
}
