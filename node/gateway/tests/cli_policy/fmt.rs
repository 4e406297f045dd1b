//! `policy fmt` writes files in their place, wholly or not at all.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::{code, data, run, run_with, stderr, stdout};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_once_with_its_permissions_and_its_digest() {
    let space = TempDir::new().unwrap();
    let file = space.path().join("p.json");
    fs::copy(data("fmt/loose.json"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = space.path().join("link.json");
    symlink(&file, &link).unwrap();
    let digest = |file: &Path| {
        let output = run(&[
            "policy",
            "check",
            file.to_str().unwrap(),
            "--output",
            "json",
        ]);
        let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        checked[0]["digest"].as_str().unwrap().to_owned()
    };
    let before = digest(&file);
    let output = run(&["policy", "fmt", link.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(&output), "1 changed, 0 laid out already\n");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(digest(&file), before);
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("{\n  \"version\": \"1\",\n"), "{text}");
    assert!(
        text.contains("\"\\u0079\"") && text.contains("1e1"),
        "as written: {text}"
    );
    // What is laid out already is not written again.
    let again = run(&["policy", "fmt", file.to_str().unwrap()]);
    assert_eq!(stderr(&again), "0 changed, 1 laid out already\n");
    assert_eq!(fs::metadata(&file).unwrap().ino(), metadata.ino());
    assert_eq!(names(space.path()), ["link.json", "p.json"]);
}

#[test]
fn standard_input_goes_to_standard_output() {
    let text = fs::read(data("fmt/loose.json")).unwrap();
    let output = run_with(&["policy", "fmt", "-"], &text);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let laid = stdout(&output);
    assert!(laid.ends_with("}\n") && laid.lines().count() > 10, "{laid}");
    let again = run_with(&["policy", "fmt", "-"], laid.as_bytes());
    assert_eq!(stdout(&again), laid);
    let checked = run_with(&["policy", "fmt", "--check", "-"], &text);
    assert_eq!((code(&checked), stdout(&checked)), (3, "-\n".to_owned()));
    let broken = run_with(&["policy", "fmt", "-"], b"{\"version\":\"1\",\"tols\":{}}");
    assert_eq!(code(&broken), 3);
    assert!(broken.stdout.is_empty());
    assert!(
        stderr(&broken).starts_with("error[TB-POL-010]"),
        "{}",
        stderr(&broken)
    );
}

#[test]
fn checking_and_errors_leave_every_file_as_it_was() {
    let space = TempDir::new().unwrap();
    for name in ["loose.json", "errors.json"] {
        fs::copy(data("fmt").join(name), space.path().join(name)).unwrap();
    }
    let path = |name: &str| space.path().join(name).to_str().unwrap().to_owned();
    let (loose, errors) = (path("loose.json"), path("errors.json"));
    let before = |name: &str| fs::read(data("fmt").join(name)).unwrap();
    let output = run(&["policy", "fmt", "--check", &loose, &errors]);
    assert_eq!(code(&output), 3);
    assert_eq!(fs::read(&loose).unwrap(), before("loose.json"));
    // One with errors stops no other.
    let output = run(&["policy", "fmt", &errors, &loose]);
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).contains("error[TB-POL-010]"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&errors).unwrap(), before("errors.json"));
    assert_ne!(fs::read(&loose).unwrap(), before("loose.json"));
}

#[test]
fn a_folder_that_takes_no_file_leaves_the_old_one() {
    // Nothing can be made there, not even by the superuser.
    let output = run(&["policy", "fmt", "/proc/self/status"]);
    assert_ne!(code(&output), 0);
    let space = TempDir::new().unwrap();
    let file = space.path().join("p.json");
    fs::copy(data("fmt/loose.json"), &file).unwrap();
    fs::set_permissions(space.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let output = run(&["policy", "fmt", file.to_str().unwrap()]);
    fs::set_permissions(space.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The superuser may write there all the same.
    if code(&output) != 0 {
        assert_eq!(code(&output), 1);
        assert!(
            stderr(&output).starts_with("error[TB-FILE-WRITE]"),
            "{}",
            stderr(&output)
        );
        assert_eq!(
            fs::read(&file).unwrap(),
            fs::read(data("fmt/loose.json")).unwrap()
        );
    }
    assert_eq!(names(space.path()), ["p.json"]);
}
