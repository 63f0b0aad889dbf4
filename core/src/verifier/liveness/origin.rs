//! Which frame's stack a value points into, if any, and where.
//!
//! Stands for `struct arg_track` of `liveness.c` (7.3) and its joins. Three levels: a frame with one to four offsets, a frame
//! with an unknown offset, a set of frames. "Nowhere" is not the bottom of this order: see [`Origin::join`].

/// Offsets from a frame pointer in bytes, ascending; none means that the offset is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Offsets {
    at: [i16; Offsets::MAX],
    count: u8,
}

impl Offsets {
    const MAX: usize = 4;
    /// Any offset.
    pub(super) const UNKNOWN: Offsets = Offsets { at: [0; Offsets::MAX], count: 0 };

    /// One offset.
    pub(super) const fn one(off: i16) -> Offsets {
        Offsets { at: [off, 0, 0, 0], count: 1 }
    }

    /// The offsets; empty when unknown.
    pub(super) fn as_slice(&self) -> &[i16] {
        &self.at[..usize::from(self.count).min(Offsets::MAX)]
    }

    /// All offsets moved, unknown when one leaves 16 bits.
    pub(super) fn shifted(self, delta: i64) -> Offsets {
        let mut moved = self;
        let Ok(delta) = i16::try_from(delta) else {
            return Offsets::UNKNOWN;
        };
        for off in &mut moved.at[..usize::from(self.count).min(Offsets::MAX)] {
            match off.checked_add(delta) {
                Some(sum) => *off = sum,
                None => return Offsets::UNKNOWN,
            }
        }
        moved
    }

    /// The union, unknown when one side is or when it has more than four.
    ///
    /// Kernel: `arg_merge_offsets` (7.3).
    #[doc(alias = "arg_merge_offsets")]
    fn union(self, other: Offsets) -> Offsets {
        let (mut left, mut right) = (self.as_slice(), other.as_slice());
        let mut merged = Offsets::UNKNOWN;
        if left.is_empty() || right.is_empty() {
            return merged;
        }
        loop {
            let next = match (left.first(), right.first()) {
                (None, None) => return merged,
                (Some(&one), None) | (None, Some(&one)) => one,
                (Some(&l), Some(&r)) => l.min(r),
            };
            left = left.strip_prefix(&[next]).unwrap_or(left);
            right = right.strip_prefix(&[next]).unwrap_or(right);
            let Some(slot) = merged.at.get_mut(usize::from(merged.count)) else {
                return Offsets::UNKNOWN;
            };
            *slot = next;
            merged.count += 1;
        }
    }
}

/// A set of frames: bit n is the frame at depth n.
pub(super) type FrameSet = u16;

/// Where a value may point to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Origin {
    /// Into no stack.
    #[default]
    Nowhere,
    /// Into the stack of the frame at that depth.
    Frame(u8, Offsets),
    /// Into some frame of these, anywhere.
    Frames(FrameSet),
}

impl Origin {
    /// Anywhere in the frames up to `depth`.
    pub(super) const fn up_to(depth: u8) -> Origin {
        Origin::Frames(((1u32 << (depth as u32 + 1)) - 1) as FrameSet)
    }

    /// Whether the value may point into a stack.
    pub(super) fn is_stack(&self) -> bool {
        *self != Origin::Nowhere
    }

    /// Whether the value may point into the frame at that depth.
    pub(super) fn may_be(&self, depth: u8) -> bool {
        match *self {
            Origin::Nowhere => false,
            Origin::Frame(frame, _) => frame == depth,
            Origin::Frames(set) => set >> depth & 1 != 0,
        }
    }

    /// The offsets, unknown for everything that is not in one frame.
    pub(super) fn offsets(&self) -> Offsets {
        match *self {
            Origin::Frame(_, offsets) => offsets,
            _ => Offsets::UNKNOWN,
        }
    }

    fn frames(&self) -> FrameSet {
        match *self {
            Origin::Nowhere => 0,
            Origin::Frame(frame, _) => 1 << frame,
            Origin::Frames(set) => set,
        }
    }

    /// The value of a place that holds one or the other.
    ///
    /// A pointer with one offset that meets no pointer gets offset 0 besides: it may still be read through, but a write through it is
    /// not certain.
    ///
    /// Kernel: `__arg_track_join` (7.3).
    #[doc(alias = "__arg_track_join")]
    pub(super) fn join(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::Nowhere, Origin::Nowhere) => Origin::Nowhere,
            (Origin::Frame(a, left), Origin::Frame(b, right)) if a == b => Origin::Frame(a, left.union(right)),
            (Origin::Frame(frame, offsets), Origin::Nowhere) | (Origin::Nowhere, Origin::Frame(frame, offsets)) => {
                let uncertain = offsets.as_slice().len() == 1;
                Origin::Frame(frame, if uncertain { offsets.union(Offsets::one(0)) } else { offsets })
            }
            _ => Origin::Frames(self.frames() | other.frames()),
        }
    }

    /// The result of 64-bit arithmetic other than with a constant.
    ///
    /// Kernel: `arg_track_alu64` (7.3).
    #[doc(alias = "arg_track_alu64")]
    pub(super) fn mixed(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::Nowhere, Origin::Nowhere) => Origin::Nowhere,
            (Origin::Frame(a, _), Origin::Frame(b, _)) if a == b => Origin::Frame(a, Offsets::UNKNOWN),
            (Origin::Frame(frame, _), Origin::Nowhere) | (Origin::Nowhere, Origin::Frame(frame, _)) => {
                Origin::Frame(frame, Offsets::UNKNOWN)
            }
            _ => Origin::Frames(self.frames() | other.frames()),
        }
    }

    /// The value with its offsets changed, if it is in one frame.
    pub(super) fn with_offsets(self, change: impl FnOnce(Offsets) -> Offsets) -> Origin {
        match self {
            Origin::Frame(frame, offsets) => Origin::Frame(frame, change(offsets)),
            other => other,
        }
    }
}
