//! The demo, as `make demo` runs it.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_each_verdict_and_a_book_that_verifies() {
    let mut shown = String::new();
    let mut show = |line: &str| {
        println!("{line}");
        shown.push_str(line);
        shown.push('\n');
    };
    tollbook_node::demo::run(1, &mut show).await.unwrap();
    for expected in [
        "rule   /tools/create_refund/deny_if/args.amount-gt",
        "agent  [POLICY DENIED] Refund exceeds the policy limit.",
        "rule   /tools/http_request.post/require/args.url-regex",
        "rule   /tools/delete_pod/limits/delete_pod",
        "agent  Unknown tool: delete_namespace",
        "agent  HTTP 401 Unauthorized",
        "valid",
        "tampered",
    ] {
        assert!(shown.contains(expected), "{expected}");
    }
}

/// Three processes of the program itself.
#[test]
fn the_demo_of_three_nodes_ends_with_one_book() {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_tollbook"))
        .args(["demo", "--nodes", "3"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{shown}\n{errors}");
    let at = |text: &str| shown.matches(text).count();
    // Three calls before the leader dies and two after it; refused at all three.
    assert_eq!(at("#7 Sample issue"), 5, "{shown}");
    assert_eq!(at("HTTP 401 Unauthorized"), 3, "{shown}");
    // The log's own signature, and two of three nodes'.
    assert_eq!(at("\n  \u{2014} "), 3, "{shown}");
    assert_eq!(at(" records\n"), 3, "{shown}");
}
