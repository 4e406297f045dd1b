//! What can be wrong with a pattern.

use thiserror::Error;

/// A pattern that was refused, and where.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("byte {at} of the pattern: {kind}")]
pub struct GoRegexError {
    /// Where it went wrong, in bytes from the start of the pattern.
    pub at: usize,
    /// What went wrong.
    pub kind: GoRegexErrorKind,
}

/// Why a pattern was refused: Go's own reasons first, then the limits that are ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum GoRegexErrorKind {
    /// `(?P<a-b>x)`: a group's name that is not of letters, digits and `_`.
    #[error("a group's name needs ASCII letters, digits and `_`, and a `>` after it")]
    CaptureName,
    /// `[[:foo:]]`: a name between `[:` and `:]` that is no POSIX class.
    #[error("there is no POSIX class of that name; write `\\[:` for these characters themselves")]
    ClassNameUnknown,
    /// `[z-a]`: a range that runs backwards.
    #[error("the range ends before it begins; write `\\-` for a hyphen")]
    ClassRange,
    /// `[a`: a class that does not end.
    #[error("the class is not closed; add `]`, or write `\\[` for a bracket")]
    ClassUnclosed,
    /// `(?:…)` nested deeper than the engine's stack is made for, though Go would take it.
    #[error("groups that repeat or choose nest over {max} deep; flatten the pattern")]
    DepthLimit {
        /// How deep they may nest.
        max: u32,
    },
    /// `\C`, `\Z`, `\1`, `\x4`: a backslash before what Go gives no meaning.
    #[error("not an escape of Go's syntax; write `\\\\` for a backslash")]
    EscapeUnknown,
    /// `(?=a)`, `(?x)`, `(?>a)`: what Go's syntax does not have.
    #[error("not a group of Go's syntax, which has no look-around and only the flags `imsU`")]
    GroupSyntax,
    /// More than Go's 1,000 levels.
    #[error("the pattern nests over {max} deep; flatten it")]
    NestingDepth {
        /// How deep a pattern may nest.
        max: u32,
    },
    /// `(a`: a group that does not end.
    #[error("the group is not closed; add `)`, or write `\\(` for a parenthesis")]
    ParenUnclosed,
    /// `a)`: the end of no group.
    #[error("this closes no group; write `\\)` for a parenthesis")]
    ParenUnexpected,
    /// A pattern longer than the limit.
    #[error("the pattern is over {max} bytes long; split the rule in two")]
    PatternTooLong {
        /// How many bytes a pattern may have.
        max: usize,
    },
    /// `a{1001}`, `a{2,1}`, `(a{100}){11}`.
    #[error("a count, also multiplied with those around it, is at most {max}, and min before max")]
    RepeatCount {
        /// The highest count, and the highest product of nested counts.
        max: u32,
    },
    /// `*a`, `a|*`: nothing to repeat.
    #[error("there is nothing before this to repeat; write `\\` before it for the character")]
    RepeatNothing,
    /// `a**`, `a{2}{3}`, `a*+`.
    #[error("a repetition of a repetition; put the inner one in `(?:…)`")]
    RepeatRepeated,
    /// A pattern that compiles to more than the limit.
    #[error("the pattern compiles to over {max} bytes; make counts and classes smaller")]
    SizeLimit {
        /// How many bytes the compiled pattern may have.
        max: usize,
    },
    /// `^\x{D800}`: half of a UTF-16 pair, which no text has, with `^`, though Go would take it.
    #[error("half of a surrogate pair, which is in no text; write the character it is half of")]
    SurrogateAlone,
    /// A backslash at the end.
    #[error("a backslash at the end of the pattern; write `\\\\` for a backslash")]
    TrailingBackslash,
    /// `\p{Foo}`: neither a category nor a script.
    #[error(
        "not a general category or script of Unicode {}",
        super::UNICODE_VERSION
    )]
    UnicodeClassUnknown,
}
