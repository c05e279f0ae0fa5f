//! Informational responses (RFC 9110, section 15.2) of backends that speak HTTP/1.1.
//!
//! 100 answers an expectation and ends here. All others, such as 103 (Early Hints), go on to clients of HTTP/3.
//! Towards HTTP/2 and HTTP/1.1, and from backends that speak HTTP/2, hyper has no way for them.

use std::sync::Arc;

use countersign::h3::Informational;
use http::{Request, StatusCode};

use crate::expect::Asked;
use crate::headers;
use crate::live::Live;

/// Listens to what comes ahead of the response to a request.
pub(crate) fn listen<B>(
    request: &mut Request<B>,
    live: &Arc<Live>,
    asked: Option<Asked>,
    ahead: Option<Informational>,
) {
    if asked.is_none() && ahead.is_none() {
        return;
    }
    let live = Arc::clone(live);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            if let Some(asked) = &asked {
                asked.go_on();
            }
        } else if let Some(ahead) = &ahead {
            let mut fields = response.headers().clone();
            headers::prepare_response(&mut fields);
            live.shared().via.add(&mut fields, response.version());
            ahead.send(response.status(), fields);
        }
    });
}
