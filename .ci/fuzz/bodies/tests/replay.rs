//! Everything that fuzzing kept, findings and corpora, through the bodies.

use std::fs;
use std::path::Path;

use tollbook_fuzz::TARGETS;

/// A corpus is one JSON string a line; a character is the byte of its number.
fn corpus(text: &str) -> Vec<Vec<u8>> {
    let bytes = |line: &str| -> Vec<u8> {
        let text: String = serde_json::from_str(line).expect("a JSON string");
        text.chars()
            .map(|c| u8::try_from(c).expect("a byte"))
            .collect()
    };
    text.lines().map(bytes).collect()
}

#[test]
fn everything_that_was_kept_holds() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (target, body) in TARGETS {
        let file = here.join("corpus").join(target).with_extension("jsonl");
        let rows = corpus(&fs::read_to_string(file).expect("each target has a corpus"));
        assert!(rows.len() > 50, "{target}: {}", rows.len());
        for row in rows {
            println!("{target} {}", row.escape_ascii());
            body(&row);
        }
        // A target without findings has no folder for them.
        let found = fs::read_dir(here.join("regressions").join(target));
        for file in found.into_iter().flatten() {
            let path = file.expect("the tree is readable").path();
            println!("{}", path.display());
            body(&fs::read(&path).expect("the tree is readable"));
        }
    }
}
