//! Who signs the book: a lone node with both its keys, never with another's.

use std::path::Path;
use std::sync::Arc;

use tollbook_audit::dir::{Options as Verifying, verify};
use tollbook_audit::note::Note;
use tollbook_audit::trust::{Trust, cluster_text};
use tollbook_node::clock::Clock;
use tollbook_node::config::Config;
use tollbook_node::dir::{Dir, DirError};
use tollbook_node::node::{NodeError, Running, Start};
use tollbook_raft::{Cluster, Options};
use tollbook_state::command::{Command, Genesis};
use tollbook_storage::{Paths, Rocks};

use crate::book::records;

fn made(home: &Path) -> (Dir, Config) {
    let text = "[node]\nid = 1\n[cluster]\norigin = \"local/tollbook/x\"\n\
                [listen]\ndata = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
                peer = \"127.0.0.1:0\"\n";
    let config = Config::read("tollbook.toml", text, |_| None).unwrap();
    (Dir::init(&home.join("node"), &config).unwrap(), config)
}

async fn lived(dir: &Dir, config: &Config) -> Result<(), NodeError> {
    let running = Running::start(dir.clone(), config.clone(), Start::default()).await?;
    running.stop().await;
    Ok(())
}

/// The newest note covers the book, and counts for who asks for the log's signature, as the node's
/// own trust file does, and for who asks for the node's as well.
fn check_signed(dir: &Dir) {
    let text = std::fs::read(dir.log().join("checkpoint")).unwrap();
    let note = Note::parse(&text).unwrap();
    let (log, node) = (dir.log_key().unwrap(), dir.node_key().unwrap());
    let voters = [("n1".to_owned(), node.verifier())];
    let both = cluster_text(&[log.verifier()], &voters, 1).unwrap();
    let own = std::fs::read(dir.trust_policy()).unwrap();
    for text in [both.as_bytes(), &own] {
        let trust = Trust::parse(text).unwrap();
        assert_eq!(trust.is_quorate(&note), Ok(true));
        let size = trust.open(&note).unwrap().size;
        let all = records(dir.root());
        assert_eq!(u64::try_from(all.len()).unwrap(), size);
    }
    let report = verify(dir.root(), &Verifying::default());
    assert_eq!(report.verdict.name(), "valid");
    assert!(report.single_signer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_nodes_notes_carry_both_its_signatures() {
    let home = tempfile::tempdir().unwrap();
    let (dir, config) = made(home.path());
    let trusted = std::fs::read(dir.trust_policy()).unwrap();
    lived(&dir, &config).await.unwrap();
    check_signed(&dir);
    // What was given away before the first start still is the node's.
    assert_eq!(std::fs::read(dir.trust_policy()).unwrap(), trusted);
    let genesis = records(dir.root()).swap_remove(0).to_string();
    let key = dir.node_key().unwrap().verifier().to_string();
    assert!(genesis.contains(&key), "{genesis}");
    // A note that is lost is made again.
    std::fs::remove_file(dir.log().join("checkpoint")).unwrap();
    lived(&dir, &config).await.unwrap();
    check_signed(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_diverged_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let (dir, config) = made(home.path());
    lived(&dir, &config).await.unwrap();
    dir.keep_divergence(&tollbook_raft::Divergence {
        size: 2,
        own: [1; 32],
        other: [2; 32],
        node: 2,
        note: None,
    })
    .unwrap();
    let error = lived(&dir, &config).await.unwrap_err();
    assert!(
        matches!(error, NodeError::Dir(DirError::Diverged { .. })),
        "{error}"
    );
}

/// A directory as the program made it before nodes cosigned: no key of the node, in the files and
/// in the membership.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_an_earlier_program_is_told_the_nodes_key() {
    let home = tempfile::tempdir().unwrap();
    let (dir, config) = made(home.path());
    std::fs::remove_file(dir.root().join("keys/node.key")).unwrap();
    let log_key = dir.log_key().unwrap().verifier();
    for name in ["ca.pem", "peer.pem"] {
        std::fs::remove_file(dir.root().join("keys").join(name)).unwrap();
    }
    let paths = Paths {
        database: dir.db(),
        segments: dir.log().join("seg"),
    };
    let clock = Arc::new(|| Clock::default().wall());
    let mut options = Options::new(1, 7, clock);
    options.cluster.clone_from(&config.cluster.origin);
    let engine = Rocks::open(&paths).unwrap();
    let cluster = Cluster::start(options, engine).await.unwrap();
    let genesis = Genesis {
        origin: config.cluster.origin.clone(),
        log_key: log_key.to_string(),
        members: vec![(1, log_key.to_string())],
        software: "earlier".to_owned(),
        prior: None,
    };
    cluster.commit(&Command::Genesis(genesis)).await.unwrap();
    cluster.shutdown().await;
    drop(cluster);

    let running = Running::start(dir.clone(), config.clone(), Start::default()).await;
    let running = running.unwrap();
    let key = dir.node_key().unwrap().verifier().to_string();
    let told = || running.node.cluster.status().members[&1].peer.verifier_key == key;
    let mut applied = running.node.cluster.applied();
    while !told() {
        applied.changed().await.unwrap();
    }
    assert!(running.node.cluster.status().members[&1].voter);
    running.stop().await;
    check_signed(&dir);
    lived(&dir, &config).await.unwrap();
    check_signed(&dir);
}
