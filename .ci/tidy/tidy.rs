//! The tree checks itself: who may use whom, how long files are, whether pages and sources agree.
//! Nothing here ships.

#[cfg(test)]
mod crates;
#[cfg(test)]
mod files;
#[cfg(test)]
mod pages;

#[cfg(test)]
mod tree {
    //! The checkout, as the checks see it.

    use std::path::{Path, PathBuf};

    /// The root of the checkout.
    pub(crate) fn root() -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors()
            .nth(2)
            .expect("this crate lies two folders below the root")
            .to_owned()
    }

    /// A file of the tree, relative to its root.
    pub(crate) fn read(path: &str) -> String {
        let full = root().join(path);
        std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Every file below the root that is ours to keep tidy, relative to the root.
    pub(crate) fn files() -> Vec<String> {
        let root = root();
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the tree is readable") {
                let path = entry.expect("the tree is readable").path();
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if path.is_dir() && !["target", ".git", "node_modules"].contains(&&*name) {
                    folders.push(path);
                } else if path.is_file() {
                    let inside = path.strip_prefix(&root).expect("we started at the root");
                    found.push(inside.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// The Rust sources among them.
    pub(crate) fn sources() -> Vec<(String, String)> {
        let paths = files().into_iter().filter(|path| path.ends_with(".rs"));
        paths.map(|path| (path.clone(), read(&path))).collect()
    }

    /// Fails with every finding at once.
    pub(crate) fn none(findings: &[String]) {
        assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    }
}
