//! The versions of HTTP that a test can be run over.

/// A version of HTTP that knows the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/2 over TLS and TCP.
    H2,
    /// HTTP/3 over QUIC.
    H3,
}

/// Makes two tests of each named `async fn`, which takes the [`Version`]: one in a module `h2`, one in a
/// module `h3`.
#[macro_export]
macro_rules! over_both_versions {
    ($($test:ident),* $(,)?) => {
        mod h2 {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::Version::H2).await;
            })*
        }
        mod h3 {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::Version::H3).await;
            })*
        }
    };
}
