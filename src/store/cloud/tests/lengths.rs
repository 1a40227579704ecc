//! How long an answer is, where the usual header does not say it.

use server::Length;

use super::*;

const BYTES: &[u8] = b"0123456789";

/// A server that tells no length of objects but by `length`.
async fn telling(length: Length, cut: Option<usize>) -> (Server, Store) {
    let s3 = S3::of(&[("a", BYTES), ("empty", b"")]);
    let whole = s3.clone();
    let server = faulty(&s3, move |request, number| {
        let answer = whole.answer(request).told_by(length);
        Some(match cut.filter(|_| number == 0) {
            Some(after) => answer.cut(after),
            None => answer,
        })
    })
    .await;
    let store = store(&server).await;
    (server, store)
}

#[tokio::test]
async fn a_body_in_chunks_is_as_long_as_it_is() {
    let (server, store) = telling(Length::Chunks, None).await;
    let key = Key::new("a");
    let whole = store.get(&key).await.unwrap();
    assert_eq!((&whole.bytes[..], whole.meta.size), (BYTES, 10));
    assert!(store.get(&Key::new("empty")).await.unwrap().bytes.is_empty());
    let part = store.get_range(&key, 2..5, None).await.unwrap();
    assert_eq!((&part.bytes[..], part.meta.size), (&b"234"[..], 10));
    assert_eq!((server.log().len(), store.counters().retries), (3, 0));
    // What a HEAD does not say, a part does.
    assert_eq!(store.head(&key).await.unwrap().size, 10);
    assert_eq!((server.log().len(), store.counters().retries), (5, 0));
    // No more of it is kept than was asked for.
    let error = store.get_if(&key, None, 9).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed { reason, .. } if reason.contains("9 bytes")), "{error}");
    assert_eq!(server.log().len(), 6);
}

#[tokio::test]
async fn chunks_that_break_off_are_asked_for_again() {
    let (server, store) = telling(Length::Chunks, Some(9)).await;
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], BYTES);
    assert_eq!((server.log().len(), store.counters().retries), (2, 1));
}

#[tokio::test]
async fn a_body_of_which_nothing_says_how_long_it_is_is_refused_at_once() {
    let (server, store) = telling(Length::Unsaid, None).await;
    let key = Key::new("a");
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed { reason, .. } if reason.contains("send Content-Length")), "{error}");
    assert_eq!((server.log().len(), store.counters().retries), (1, 0));
    // Of a part its range says it.
    assert_eq!(&store.get_range(&key, 2..5, None).await.unwrap().bytes[..], b"234");
    assert_eq!(store.head(&key).await.unwrap().size, 10);
}
