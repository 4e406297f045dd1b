use super::*;
use crate::chaos::book::Intent;

/// Two calls of `g`, both charged, sent and answered; then `g` was revoked.
fn sound() -> Run {
    let intent = |index| Intent {
        index,
        label: "g".to_owned(),
        allowed: true,
        at_us: index * 10,
        outcome: Some(("ok".to_owned(), false)),
    };
    let made = |number| Called {
        number,
        label: "g".to_owned(),
        from_us: number * 10 - 5,
        answer: Answer::Done,
    };
    let seen = |number| Seen {
        number,
        at_us: number * 10 + 1,
    };
    let book = Book {
        intents: HashMap::from([(1, intent(1)), (2, intent(2))]),
        revoked: HashMap::from([("g".to_owned(), 3)]),
        twice: Vec::new(),
    };
    let pages = Pages::from([(0, b"a".to_vec()), (1, b"b".to_vec())]);
    let notes = BTreeMap::from([(2, "root".to_owned())]);
    let both = ["node-1", "node-2"];
    Run {
        made: vec![made(1), made(2)],
        seen: vec![seen(1), seen(2)],
        revoked: BTreeMap::from([("g".to_owned(), 30)]),
        book,
        pages: both.map(|name| (name.to_owned(), pages.clone())).into(),
        notes: both.map(|name| (name.to_owned(), notes.clone())).into(),
    }
}

/// Breaches of every promise, by its place below.
fn breaches(run: &Run) -> [usize; 8] {
    [
        no_more_than_the_limit(run, "g", 2),
        all_of_the_limit(run, "g", 2),
        an_intent_before_each_call(run),
        nothing_twice(run),
        no_call_after_a_revoke(run),
        every_answer_is_on_record(run),
        the_same_records(run),
        the_same_roots(run),
    ]
    .map(|lines| lines.len())
}

#[test]
fn a_sound_run_breaks_no_promise() {
    assert_eq!(breaches(&sound()), [0; 8]);
}

#[test]
fn one_call_over_the_limit_is_seen() {
    let run = sound();
    assert_eq!(no_more_than_the_limit(&run, "g", 1).len(), 1);
    assert_eq!(all_of_the_limit(&run, "g", 3).len(), 1);
}

#[test]
fn a_charge_that_was_given_back_is_no_charge() {
    let mut run = sound();
    run.book.intents.get_mut(&2).unwrap().outcome = Some(("not_sent".to_owned(), true));
    assert_eq!(breaches(&run), [0, 1, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_call_without_intent_or_before_it_is_seen() {
    let mut run = sound();
    run.book.intents.remove(&1);
    assert_eq!(breaches(&run), [0, 1, 1, 0, 0, 1, 0, 0]);
    let mut run = sound();
    run.book.intents.get_mut(&1).unwrap().at_us = 12;
    assert_eq!(breaches(&run), [0, 0, 1, 0, 0, 0, 0, 0]);
    let mut run = sound();
    run.book.intents.get_mut(&1).unwrap().allowed = false;
    assert_eq!(breaches(&run), [0, 1, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_call_that_arrives_or_is_admitted_twice_is_seen() {
    let mut run = sound();
    run.seen.push(run.seen[0]);
    run.book.twice.push(2);
    assert_eq!(breaches(&run), [1, 0, 0, 2, 0, 0, 0, 0]);
}

#[test]
fn a_call_after_its_revocation_is_seen() {
    let mut run = sound();
    run.book.intents.get_mut(&2).unwrap().index = 4;
    assert_eq!(breaches(&run), [0, 0, 0, 0, 1, 0, 0, 0]);
    let mut run = sound();
    run.revoked.insert("g".to_owned(), 10);
    assert_eq!(breaches(&run), [0, 0, 0, 0, 1, 0, 0, 0]);
    let mut run = sound();
    run.book.revoked.clear();
    assert_eq!(breaches(&run), [0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn an_answer_that_the_book_does_not_know_is_seen() {
    let mut run = sound();
    run.book.intents.get_mut(&1).unwrap().outcome = None;
    run.made[1].answer = Answer::Denied;
    assert_eq!(breaches(&run), [0, 0, 0, 0, 0, 2, 0, 0]);
    let mut run = sound();
    run.seen.pop();
    assert_eq!(breaches(&run), [0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn books_that_differ_are_seen() {
    let mut run = sound();
    run.pages[1].1.insert(1, b"c".to_vec());
    run.notes[0].1.insert(2, "other".to_owned());
    assert_eq!(breaches(&run), [0, 0, 0, 0, 0, 0, 1, 1]);
    // A book that is only longer is no other book.
    let mut run = sound();
    run.pages[1].1.insert(2, b"c".to_vec());
    run.notes[0].1.insert(3, "longer".to_owned());
    assert_eq!(breaches(&run), [0; 8]);
}
