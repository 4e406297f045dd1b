//! The program `tollbook`. Everything is in the library; this only starts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollbook_node::commands::main(std::env::args_os())
}
