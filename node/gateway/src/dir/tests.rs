use tempfile::TempDir;

use super::*;

fn config() -> Config {
    let text = "[node]\nid = 1\n[cluster]\norigin = \"local/tollbook/x\"\n";
    Config::read("tollbook.toml", text, |_| None).unwrap()
}

fn made() -> (TempDir, Dir) {
    let space = TempDir::new().unwrap();
    let dir = Dir::init(&space.path().join("node"), &config()).unwrap();
    (space, dir)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_made_directory_opens_and_keeps_its_secrets_to_itself() {
    let (_space, dir) = made();
    let dir = Dir::open(dir.root()).unwrap();
    assert_eq!(mode(dir.root()), 0o700);
    assert_eq!(mode(&dir.path(KEYS)), 0o700);
    for secret in [ADMIN_TOKEN, LOG_KEY, SESSION_KEY, ADMIN_HASHES] {
        assert_eq!(mode(&dir.path(secret)), 0o600, "{secret}");
    }
    assert_eq!(dir.config().unwrap().cluster.origin, "local/tollbook/x");
    assert_eq!(dir.log_key().unwrap().verifier().name(), "local/tollbook/x");
    assert_ne!(*dir.session_key().unwrap(), [0; 32]);
    let trusted = fs::read_to_string(dir.trust_policy()).unwrap();
    assert!(
        trusted.contains(&dir.log_key().unwrap().verifier().to_string()),
        "{trusted}"
    );
}

#[tokio::test]
async fn as_a_notebook_it_promises_once_and_keeps_what_contradicts() {
    use tollbook_raft::{Divergence, Notebook as _, PromiseError};
    let (_space, dir) = made();
    assert!(dir.promise(5, [1; 32]).await.is_ok());
    assert!(dir.promise(5, [1; 32]).await.is_ok());
    let other = dir.promise(5, [2; 32]).await.unwrap_err();
    assert!(
        matches!(other, PromiseError::OtherRoot { promised } if promised == [1; 32]),
        "{other}"
    );
    let smaller = dir.promise(4, [1; 32]).await.unwrap_err();
    assert!(
        matches!(smaller, PromiseError::Smaller { promised: 5 }),
        "{smaller}"
    );
    write_whole(&dir.path(MAX_SIGNED), b"x", 0o600).unwrap();
    let failed = dir.promise(6, [1; 32]).await.unwrap_err();
    assert!(matches!(failed, PromiseError::Failed(_)), "{failed}");

    assert_eq!(dir.newest_note().unwrap(), 0);
    let checkpoint = Checkpoint {
        origin: "local/tollbook/x".to_owned(),
        size: 5,
        root: [1; 32],
    };
    let note = dir.log_key().unwrap().sign(&checkpoint);
    dir.keep(5, note.clone()).await.unwrap();
    assert_eq!(dir.newest_note().unwrap(), 5);

    assert!(dir.check_undiverged().is_ok());
    let divergence = Divergence {
        size: 5,
        own: [1; 32],
        other: [2; 32],
        node: 3,
        note: Some(note.clone()),
    };
    dir.diverged(divergence).await.unwrap();
    let error = dir.check_undiverged().unwrap_err();
    assert!(matches!(error, DirError::Diverged { .. }), "{error}");
    let kept = fs::read_to_string(dir.divergence()).unwrap();
    for part in [&hex(&[1; 32]), &hex(&[2; 32]), "node 3", &note] {
        assert!(kept.contains(part), "{kept}");
    }
}

#[test]
fn the_trust_file_is_written_where_it_says_something_else() {
    let (_space, dir) = made();
    let before = fs::metadata(dir.trust_policy()).unwrap();
    let text = fs::read_to_string(dir.trust_policy()).unwrap();
    dir.write_trust(&text).unwrap();
    let inode = |found: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(found);
    let same = fs::metadata(dir.trust_policy()).unwrap();
    assert_eq!(inode(&before), inode(&same));
    dir.write_trust("# other\n").unwrap();
    assert_eq!(fs::read_to_string(dir.trust_policy()).unwrap(), "# other\n");
}

#[test]
fn the_node_keeps_only_the_hash_of_the_admin_token() {
    let (_space, dir) = made();
    let token = read_token(&dir.admin_token_file(), Class::Admin).unwrap();
    let hashes = dir.admin_hashes().unwrap();
    assert!(hashes.knows(&token));
    assert!(!hashes.knows(&Token::generate(Class::Admin).unwrap()));
    assert!(!hashes.knows(&Token::generate(Class::Grant).unwrap()));
    for name in [CONFIG, TRUST, ADMIN_HASHES] {
        let text = fs::read_to_string(dir.path(name)).unwrap();
        assert!(!text.contains(token.expose()), "{name}");
    }
    // Once it is put away the node starts without it.
    fs::remove_file(dir.admin_token_file()).unwrap();
    assert!(Dir::open(dir.root()).is_ok());
}

#[test]
fn two_nodes_share_no_key() {
    let (_one, one) = made();
    let (_two, two) = made();
    assert_ne!(*one.session_key().unwrap(), *two.session_key().unwrap());
    let public = |dir: &Dir| dir.log_key().unwrap().verifier().to_string();
    assert_ne!(public(&one), public(&two));
}

#[test]
fn init_refuses_what_is_not_empty_and_changes_nothing_there() {
    let (_space, dir) = made();
    let before = fs::read(dir.path(LOG_KEY)).unwrap();
    let error = Dir::init(dir.root(), &config()).unwrap_err();
    assert!(matches!(error, DirError::NotEmpty { .. }), "{error}");
    assert_eq!(fs::read(dir.path(LOG_KEY)).unwrap(), before);
    // One file is enough, and a file is no directory.
    let space = TempDir::new().unwrap();
    let file = space.path().join("x");
    write_whole(&file, b"", 0o644).unwrap();
    assert!(matches!(
        Dir::init(space.path(), &config()),
        Err(DirError::NotEmpty { .. })
    ));
    assert!(matches!(
        Dir::init(&file, &config()),
        Err(DirError::Io { .. })
    ));
    assert_eq!(fs::read_dir(space.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_directory_is_filled_where_it_stands() {
    let space = TempDir::new().unwrap();
    Dir::init(space.path(), &config()).unwrap();
    assert_eq!(mode(space.path()), 0o700);
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let space = TempDir::new().unwrap();
    let mut bad = config();
    bad.cluster.origin = "with space".to_owned();
    let error = Dir::init(&space.path().join("node"), &bad).unwrap_err();
    assert!(matches!(error, DirError::Origin { .. }), "{error}");
    assert_eq!(fs::read_dir(space.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_not_whole_is_refused_by_name() {
    for needed in NEEDED {
        let (_space, dir) = made();
        fs::remove_file(dir.path(needed)).unwrap();
        let error = Dir::open(dir.root()).unwrap_err();
        let named = matches!(&error, DirError::Missing { path } if *path == dir.path(needed));
        assert!(named, "{needed}: {error}");
    }
    assert!(matches!(
        Dir::open("/nowhere/at/all"),
        Err(DirError::Missing { .. })
    ));
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    for secret in SECRET {
        let (_space, dir) = made();
        let path = dir.path(secret);
        let open = mode(&path) | 0o040;
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = Dir::open(dir.root()).unwrap_err();
        assert_eq!(error.code(), "TB-DIR-MODE", "{secret}");
        assert!(error.to_string().contains("chmod go="), "{error}");
    }
}

#[test]
fn damaged_keys_are_told_apart_from_missing_ones() {
    let (_space, dir) = made();
    for (name, bytes) in [
        (LOG_KEY, b"rubbish".as_slice()),
        (LOG_KEY, &[0xff, 0xfe]),
        (SESSION_KEY, &[0; 31]),
        (ADMIN_HASHES, b""),
        (ADMIN_HASHES, b"short 00\n"),
    ] {
        write_whole(&dir.path(name), bytes, 0o600).unwrap();
    }
    assert!(matches!(dir.log_key(), Err(DirError::Damaged { .. })));
    assert!(matches!(dir.session_key(), Err(DirError::Damaged { .. })));
    assert!(matches!(dir.admin_hashes(), Err(DirError::Damaged { .. })));
}

#[test]
fn a_second_process_cannot_have_the_directory() {
    let (_space, dir) = made();
    let held = dir.lock().unwrap();
    assert!(matches!(dir.lock(), Err(DirError::InUse { .. })));
    drop(held);
    assert!(dir.lock().is_ok());
}

#[test]
fn the_run_file_is_there_while_the_node_serves() {
    let (_space, dir) = made();
    assert_eq!(dir.run().unwrap(), None);
    let run = Run {
        data: "http://127.0.0.1:1".to_owned(),
        admin: "http://127.0.0.1:2".to_owned(),
        peer: None,
        pid: 7,
    };
    dir.write_run(&run).unwrap();
    assert_eq!(dir.run().unwrap(), Some(run));
    dir.remove_run().unwrap();
    dir.remove_run().unwrap();
    assert_eq!(dir.run().unwrap(), None);
    write_whole(&dir.path(RUN), b"{", 0o600).unwrap();
    assert!(matches!(dir.run(), Err(DirError::Damaged { .. })));
}

#[test]
fn what_was_signed_is_never_signed_otherwise() {
    let (_space, dir) = made();
    let promise = |size, byte| dir.promise_signed(size, &[byte; 32]);
    assert_eq!(dir.max_signed().unwrap(), None);
    promise(5, 1).unwrap();
    promise(5, 1).unwrap();
    assert!(matches!(
        promise(5, 2),
        Err(DirError::SignedOther { size: 5 })
    ));
    assert!(matches!(
        promise(4, 1),
        Err(DirError::SignedSmaller { size: 4, signed: 5 })
    ));
    promise(6, 3).unwrap();
    assert_eq!(
        dir.max_signed().unwrap(),
        Some(MaxSigned {
            size: 6,
            root: [3; 32]
        })
    );
}

#[test]
fn every_changed_byte_of_what_was_signed_is_noticed() {
    let (_space, dir) = made();
    dir.promise_signed(1234, &[0xab; 32]).unwrap();
    let good = fs::read(dir.path(MAX_SIGNED)).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        write_whole(&dir.path(MAX_SIGNED), &bad, 0o600).unwrap();
        assert!(dir.max_signed().is_err(), "byte {at}");
        assert!(dir.promise_signed(9999, &[0; 32]).is_err());
    }
}

#[test]
fn a_token_file_may_end_in_a_line_feed_and_nothing_else() {
    let space = TempDir::new().unwrap();
    let path = space.path().join("t");
    let token = Token::generate(Class::Admin).unwrap();
    for (text, good) in [
        (token.expose().to_owned(), true),
        (format!("{}\n", token.expose()), true),
        (format!("{}\r\n", token.expose()), true),
        (format!("{}\n\n", token.expose()), false),
        (format!(" {}", token.expose()), false),
        (String::new(), false),
    ] {
        write_whole(&path, text.as_bytes(), 0o600).unwrap();
        assert_eq!(read_token(&path, Class::Admin).is_ok(), good, "{text:?}");
    }
    write_whole(&path, token.expose().as_bytes(), 0o600).unwrap();
    assert!(matches!(
        read_token(&path, Class::Grant),
        Err(DirError::Token {
            source: TokenError::Class { .. },
            ..
        })
    ));
}

#[test]
fn a_kept_note_is_there_under_its_size_and_as_the_newest() {
    let (_space, dir) = made();
    dir.keep_note(5, "five").unwrap();
    dir.keep_note(9, "nine").unwrap();
    let read = |name: &str| fs::read_to_string(dir.log().join(name)).unwrap();
    assert_eq!(read("checkpoint"), "nine");
    assert_eq!(read("checkpoints/5.note"), "five");
    assert_eq!(read("checkpoints/9.note"), "nine");
}

/// Keys that others know a node by are never made a second time unseen.
#[test]
fn keys_for_peers_are_made_once() {
    let space = tempfile::tempdir().unwrap();
    let config = config();
    let dir = Dir::init(&space.path().join("node"), &config).unwrap();
    let again = || {
        dir.make_node_key(&config.node.name)?;
        dir.make_peer_keys(&config, Clock::default().wall())
    };
    again().unwrap();
    for name in ["keys/node.key", "keys/ca.pem", "keys/peer.pem"] {
        let (path, away) = (dir.root().join(name), space.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let error = again().unwrap_err();
        assert!(
            matches!(&error, DirError::Missing { path: missing } if *missing == path),
            "{name}: {error}"
        );
        fs::rename(&away, &path).unwrap();
        again().unwrap();
    }
}

#[test]
fn a_directory_that_was_set_back_is_not_started_again() {
    let space = tempfile::tempdir().unwrap();
    let dir = Dir::init(&space.path().join("node"), &config()).unwrap();
    assert_eq!(
        [dir.next_start().unwrap(), dir.next_start().unwrap()],
        [1, 2]
    );
    assert!(dir.check_not_rolled_back().is_ok());
    dir.mark_rolled_back("node 2 has seen a later start")
        .unwrap();
    let error = dir.check_not_rolled_back().unwrap_err();
    assert_eq!(error.code(), "TB-DIR-ROLLED-BACK");
}
