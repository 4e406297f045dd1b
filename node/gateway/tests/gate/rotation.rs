//! A grant's token that another one takes the place of.

use std::sync::atomic::{AtomicU64, Ordering};

use tollbook_node::clock::Clock;
use tollbook_node::node::Start;
use tollbook_node::token::{Class, Token};
use tollbook_node::trial::Granted;
use tollbook_state::CommandResult;
use tollbook_state::command::{Command, GrantRotate, Micros};

use crate::client::Ask;
use crate::gate::{ALLOW, Gate};

const SECOND_US: u64 = 1_000_000;

/// The grant with a new token; the one before stays valid for `overlap_us`.
async fn rotate(gate: &Gate, grant: &Granted, overlap_us: u64) -> Granted {
    let token = Token::generate_for(Class::Grant, grant.id.0).unwrap();
    let node = &gate.trial.running.node;
    let rotate = GrantRotate {
        actor: "test".to_owned(),
        grant: grant.id,
        token: token.hash(),
        overlap_until: Micros(node.clock.wall().0 + overlap_us),
        expected: None,
    };
    let result = node.cluster.commit(&Command::GrantRotate(rotate)).await;
    let changed = matches!(result, Ok(CommandResult::Put { changed: true, .. }));
    assert!(changed, "{result:?}");
    Granted {
        id: grant.id,
        token,
        endpoint: grant.endpoint.clone(),
    }
}

/// The status that a call with the grant's token gets.
async fn call(gate: &Gate, grant: &Granted) -> u16 {
    let call = Ask::call(grant, "echo", r#"{"message":"hi"}"#);
    gate.ask(&call).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_tokens_open_the_gate_until_the_overlap_ends_and_then_one() {
    let moved: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
    let clock = Clock::away_from_the_hour().moved_by(moved);
    let start = Start {
        clock,
        ..Start::default()
    };
    let gate = Gate::open(|_config| {}, start).await;
    let first = gate.grant(ALLOW).await;
    let other = gate.grant(ALLOW).await;
    assert_eq!(call(&gate, &first).await, 200);
    let second = rotate(&gate, &first, 3600 * SECOND_US).await;
    assert_eq!(call(&gate, &first).await, 200);
    assert_eq!(call(&gate, &second).await, 200);
    assert_eq!(call(&gate, &other).await, 200);

    // The next rotation ends the first token: there are never three.
    let third = rotate(&gate, &second, 8 * SECOND_US).await;
    assert_eq!(call(&gate, &first).await, 401);
    assert_eq!(call(&gate, &second).await, 200);
    assert_eq!(call(&gate, &third).await, 200);
    // The end of the overlap needs no entry of the log. Nine seconds are no jump.
    moved.store(9 * SECOND_US, Ordering::Relaxed);
    assert_eq!(call(&gate, &second).await, 401);
    assert_eq!(call(&gate, &third).await, 200);
    assert_eq!(gate.records("intent").len(), 7);
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_overlap_the_former_token_ends_and_a_revoke_ends_both() {
    let gate = Gate::start().await;
    let first = gate.grant(ALLOW).await;
    let second = rotate(&gate, &first, 0).await;
    assert_eq!(call(&gate, &first).await, 401);
    assert_eq!(call(&gate, &second).await, 200);
    let third = rotate(&gate, &second, 3600 * SECOND_US).await;
    assert_eq!(call(&gate, &second).await, 200);
    gate.trial.revoke(first.id).await.unwrap();
    for ended in [&first, &second, &third] {
        assert_eq!(call(&gate, ended).await, 401);
    }
    // A secret that nobody has opens nothing, during an overlap or not.
    let lost = gate.grant(ALLOW).await;
    rotate(&gate, &lost, 3600 * SECOND_US).await;
    let forged = Granted {
        id: lost.id,
        token: Token::generate_for(Class::Grant, lost.id.0).unwrap(),
        endpoint: lost.endpoint,
    };
    assert_eq!(call(&gate, &forged).await, 401);
    gate.stop().await;
}
