//! Errors of libraries as words: each is a chain of causes, and what happened stands at its end.

use std::error::Error;

/// An error and what caused it, also where `std::io::Error` hides it.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// What happened: the words of the last cause.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), |cause| cause.to_string())
}

/// An error with all its causes on one line; what a cause says again is left out.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for cause in causes(error) {
        let words = cause.to_string();
        if !said.contains(&words) {
            said = if said.is_empty() { words } else { format!("{said}: {words}") };
        }
    }
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn what_happened_is_found_behind_every_kind_of_cause() {
        let inner = std::io::Error::other(Outer("no token:\n  wait", std::io::Error::other("refused")));
        let error = Outer("sign-in", inner);
        assert_eq!(innermost(&error), "refused");
        assert_eq!(sentence(&error), "sign-in: no token: wait: refused");
        let same = Outer("cannot: refused", std::io::Error::other("refused"));
        assert_eq!(sentence(&same), "cannot: refused");
        assert_eq!(causes(&same).count(), 3);
    }
}
