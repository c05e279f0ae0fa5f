//! Streams of HTTP/3 that may not end or may not be there, lengths that HTTP/3 can say, and goodbyes.

use super::ServerCase;
use super::visit::Visit;
use crate::authenticator::Draft;
use crate::bytes::{varint, wide_varint};
use crate::case::{Done, Version, cases, failed};
use crate::code_points::{H3_CLOSED_CRITICAL_STREAM, H3_FRAME_ERROR, H3_STREAM_CREATION_ERROR};
use crate::raw::{kind, settings_payload, stream};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "http3/6.2.1/s3" Http3:
        "The control stream is not reset.",
        "a reset of the control stream while an answer is awaited",
        "H3_CLOSED_CRITICAL_STREAM"
        => reset_control_stream;
    Must "http3/6.2.1/s4" Http3:
        "There is one control stream.",
        "a second control stream, with SETTINGS and a valid answer",
        "H3_STREAM_CREATION_ERROR"
        => second_control_stream;
    Must "http3/6.2.2/s1" Http3:
        "A client opens no push streams.",
        "a valid answer on a push stream",
        "a connection error"
        => on_a_push_stream;
    Must "http3/7.1/s1" Http3:
        "A frame ends before its stream does.",
        "half a valid answer, and the end of the control stream",
        "H3_FRAME_ERROR or H3_CLOSED_CRITICAL_STREAM"
        => cut_short;
    Must "http3/7.1/s2" Http3:
        "Type and length of a frame may be longer than they have to be.",
        "a valid answer with type and length in 8 bytes each",
        "success"
        => in_wide_integers;
    Robustness "client/5.5/s4" Http3:
        "A frame of the greatest length is refused at its header.",
        "the header of a CERTIFICATE of 2^62 - 1 bytes",
        "a connection error"
        => of_the_greatest_length;
    Robustness "http2/6.8/s1" Http2:
        "Who says goodbye may finish what is under way.",
        "GOAWAY with NO_ERROR while an answer is awaited, then a valid answer",
        "success"
        => after_goodbye;
    Robustness "http3/5.2/s1" Http3:
        "Who says goodbye may finish what is under way.",
        "GOAWAY while an answer is awaited, then a valid answer",
        "success"
        => after_goodbye;
};

async fn reset_control_stream(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.reset_control();
    asked.peer.expect_code(H3_CLOSED_CRITICAL_STREAM).await
}

async fn second_control_stream(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let settings = settings_payload(visit.version, &visit.announcing(4));
    let settings = asked.peer.encode(kind::SETTINGS, &settings);
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    asked.peer.open_uni(&[varint(stream::CONTROL), settings, frame].concat()).await;
    asked.peer.expect_code(H3_STREAM_CREATION_ERROR).await
}

async fn on_a_push_stream(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    asked.peer.open_uni(&[varint(stream::PUSH), varint(0), frame].concat()).await;
    asked.peer.expect_any_error().await
}

async fn cut_short(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    let (half, _) = frame.split_at(frame.len() / 2);
    asked.peer.bytes(half).await;
    asked.peer.finish_control().await;
    let end = asked.peer.expect_end().await?;
    match end.code {
        Some(H3_FRAME_ERROR | H3_CLOSED_CRITICAL_STREAM) => Ok(()),
        Some(_) | None => failed(format!(
            "{} instead of H3_FRAME_ERROR or H3_CLOSED_CRITICAL_STREAM",
            asked.peer.tell(&end)
        )),
    }
}

async fn in_wide_integers(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let wide = |value: u64| wide_varint(value, 8, 0xc0);
    let header = [wide(visit.target.points.certificate.into()), wide(authenticator.len() as u64)];
    asked.peer.bytes(&[header.concat(), authenticator].concat()).await;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn of_the_greatest_length(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let header = [varint(visit.target.points.certificate.into()), varint((1 << 62) - 1)];
    asked.peer.bytes(&header.concat()).await;
    asked.peer.expect_any_error().await
}

async fn after_goodbye(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let payload = match visit.version {
        // The last stream of the server's, and NO_ERROR.
        Version::Http2 => vec![0; 8],
        // The first push that is not taken any more.
        Version::Http3 => varint(0),
    };
    asked.peer.control(kind::GOAWAY, &payload).await;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    visit.granted(&mut asked.peer, asked.stream).await
}
