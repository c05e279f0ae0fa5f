//! How frames came, beside what they say. A peer that is broken on purpose minds it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How a frame on stream 0 or the control stream came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The type.
    pub kind: u64,
    /// How often something was read until it was whole.
    pub reads: usize,
    /// Whether the reserved bit is set (RFC 9113, section 4.1).
    pub reserved: bool,
    /// Whether type or length takes more bytes than it needs to in HTTP/3.
    pub wide: bool,
}

/// So many are remembered.
const MOST: usize = 100;

/// The latest that nobody asked for yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms(Arc<Mutex<VecDeque<Form>>>);

impl Forms {
    pub(super) fn push(&self, form: Form) {
        let mut forms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if forms.len() == MOST {
            forms.pop_front();
        }
        forms.push_back(form);
    }

    /// Takes the first of a type.
    pub(super) fn take(&self, kind: u64) -> Option<Form> {
        let mut forms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = forms.iter().position(|form| form.kind == kind)?;
        forms.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_remembered_than_so_many() {
        let forms = Forms::default();
        for reads in 0..=MOST {
            forms.push(Form { reads, ..Form::default() });
        }
        assert_eq!(forms.take(0).map(|form| form.reads), Some(1));
        assert_eq!(forms.take(9), None);
    }
}
