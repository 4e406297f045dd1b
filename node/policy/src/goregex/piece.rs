//! Parts of a pattern that were read, with what Go's limits count in them.

use alloc::vec::Vec;
use core::mem;

use regex_syntax::hir::{Hir, Repetition};

use super::class::Case;

/// How Go would hold a part, as far as its height depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Alternation,
    Concatenation,
    Literal(Case),
    Other,
}

/// One part of a pattern.
#[derive(Debug)]
pub(super) struct Piece {
    hir: Hir,
    shape: Shape,
    /// The height of Go's tree for it: capturing groups count, as they do there.
    pub(super) height: u32,
    /// The height of ours, in which groups that only capture do not stand.
    pub(super) depth: u32,
    /// How many copies of its innermost part the counts in it make.
    pub(super) copies: u32,
}

impl Piece {
    pub(super) fn literal(hir: Hir, case: Case) -> Self {
        Self {
            shape: Shape::Literal(case),
            ..Self::single(hir)
        }
    }

    /// A class, a place, or nothing at all.
    pub(super) fn single(hir: Hir) -> Self {
        Self {
            hir,
            shape: Shape::Other,
            height: 1,
            depth: 1,
            copies: 1,
        }
    }

    pub(super) fn into_hir(self) -> Hir {
        self.hir
    }

    /// The part in a capturing group. Nobody asks what it captured, only whether all matched.
    pub(super) fn captured(self) -> Self {
        Self {
            shape: Shape::Other,
            height: self.height + 1,
            ..self
        }
    }

    pub(super) fn repeated(self, min: u32, max: Option<u32>, greedy: bool) -> Self {
        // Nothing is left of what `{0}` repeats, so that it may hold any counts.
        let copies = match max.unwrap_or(min) {
            0 if max.is_some() => 1,
            count => count.max(1).saturating_mul(self.copies),
        };
        let (height, depth) = (self.height + 1, self.depth + 1);
        let sub = self.hir.into();
        let hir = Hir::repetition(Repetition {
            min,
            max,
            greedy,
            sub,
        });
        Self {
            hir,
            shape: Shape::Other,
            height,
            depth,
            copies,
        }
    }

    /// One after the other. None is the empty text; one stays what it is.
    pub(super) fn concatenated(pieces: &mut Vec<Self>) -> Self {
        let first = pieces.first().map(|piece| piece.shape);
        let one_string = matches!(first, Some(Shape::Literal(_)))
            && pieces.iter().all(|piece| Some(piece.shape) == first);
        let mut whole = Self::combined(pieces, Shape::Concatenation, Hir::concat);
        if let (true, Some(shape)) = (one_string, first) {
            (whole.shape, whole.height) = (shape, 1);
        }
        whole
    }

    /// One of them.
    pub(super) fn alternated(pieces: &mut Vec<Self>) -> Self {
        Self::combined(pieces, Shape::Alternation, Hir::alternation)
    }

    fn combined(pieces: &mut Vec<Self>, shape: Shape, make: fn(Vec<Hir>) -> Hir) -> Self {
        if pieces.len() == 1
            && let Some(only) = pieces.pop()
        {
            return only;
        }
        let (mut height, mut depth, mut copies) = (1, 1, 1);
        for piece in pieces.iter() {
            // Go lifts a concatenation out of a concatenation, so that it adds no level.
            let level = u32::from(piece.shape != shape);
            height = height.max(piece.height + level);
            depth = depth.max(piece.depth + level);
            copies = copies.max(piece.copies);
        }
        let hir = make(mem::take(pieces).into_iter().map(Self::into_hir).collect());
        Self {
            hir,
            shape,
            height,
            depth,
            copies,
        }
    }
}
