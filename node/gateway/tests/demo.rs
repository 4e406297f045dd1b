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
