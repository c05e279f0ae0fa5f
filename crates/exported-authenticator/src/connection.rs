//! One connection's authenticators, with the memory of what was used (RFC 9261, section 7).

use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;

use crate::stateless::{self, Occasion, Offered, UnsignedAuthenticator, Validated};
use crate::{
    AuthenticateError, Authenticator, AuthenticatorRequest, Contexts, Credential,
    DEFAULT_CONTEXT_LIMIT, ExporterValues, ExtensionType, InvalidAuthenticator, Malformed,
    MessageType, RequestError, RequestTemplate, Role,
};

/// The initial connection, seen from one side, with every context used on it.
#[derive(Debug)]
pub struct Connection {
    values: Arc<ExporterValues>,
    role: Role,
    algorithms: WebPkiSupportedAlgorithms,
    contexts: Contexts,
}

impl Connection {
    /// Begins with the values exported from the connection, on which we are `role`. `algorithms` are
    /// those of the provider (`signature_verification_algorithms`).
    pub fn new(
        values: Arc<ExporterValues>,
        role: Role,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let contexts = Contexts::new(values.hash(), DEFAULT_CONTEXT_LIMIT);
        Self {
            values,
            role,
            algorithms,
            contexts,
        }
    }

    /// Tracks at most `limit` contexts; must be set before the first is used.
    pub fn with_context_limit(mut self, limit: usize) -> Self {
        self.contexts = Contexts::new(self.values.hash(), limit);
        self
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The exported values, to be shared with whoever verifies elsewhere.
    pub fn values(&self) -> &Arc<ExporterValues> {
        &self.values
    }

    /// The algorithms that verify signatures over transcripts.
    pub fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.algorithms
    }

    /// Every context used on this connection.
    pub fn contexts(&mut self) -> &mut Contexts {
        &mut self.contexts
    }

    /// Makes a request to the peer ("request", RFC 9261, section 7.1).
    ///
    /// `context` must never have been used on this connection and should be 32 random bytes.
    pub fn request(
        &mut self,
        template: &RequestTemplate,
        message_type: MessageType,
        context: &[u8],
    ) -> Result<AuthenticatorRequest, RequestError> {
        let request = template.build(message_type, context)?;
        if self.role == Role::Server && request.offers(ExtensionType::SERVER_NAME) {
            return Err(RequestError::ServerName);
        }
        self.contexts.request(context)?;
        Ok(request)
    }

    /// Takes in a request from the peer. A context that was used before, in either direction, is
    /// refused.
    pub fn receive_request(&mut self, bytes: &[u8]) -> Result<AuthenticatorRequest, RequestError> {
        let request = AuthenticatorRequest::parse(bytes)?;
        self.contexts.request(request.context())?;
        Ok(request)
    }

    /// Answers the peer's `request` ("authenticate", RFC 9261, section 7.3).
    pub fn authenticate(
        &mut self,
        request: &AuthenticatorRequest,
        credential: &Credential,
    ) -> Result<Vec<u8>, AuthenticateError> {
        self.contexts.check_open(request.context())?;
        let authenticator = stateless::authenticate(&self.values, self.role, request, credential)?;
        self.contexts.answer(request.context())?;
        Ok(authenticator)
    }

    /// Declines the peer's `request` with an empty authenticator (RFC 9261, section 6).
    pub fn decline(
        &mut self,
        request: &AuthenticatorRequest,
    ) -> Result<Vec<u8>, AuthenticateError> {
        self.contexts.answer(request.context())?;
        stateless::decline(&self.values, self.role, request)
    }

    /// Authenticates without a request; for servers only. `offered` is what the ClientHello offered;
    /// `context` must be new on this connection and unpredictable to the peer.
    pub fn authenticate_spontaneously(
        &mut self,
        context: &[u8],
        offered: &Offered,
        credential: &Credential,
    ) -> Result<Vec<u8>, AuthenticateError> {
        if self.role == Role::Client {
            return Err(AuthenticateError::SpontaneousClient);
        }
        if context.len() > usize::from(u8::MAX) {
            return Err(AuthenticateError::TooLong);
        }
        let scheme = credential
            .chain()
            .choose_spontaneous_scheme(offered, credential.schemes())?;
        self.contexts.check_new(context)?;
        let occasion = Occasion::Spontaneous {
            context: Some(context),
            offered,
        };
        let authenticator = UnsignedAuthenticator::begin(
            &self.values,
            self.role,
            occasion,
            credential.chain(),
            scheme,
        )?
        .sign_with(credential)?;
        self.contexts.spontaneous(context)?;
        Ok(authenticator)
    }

    /// Checks the peer's answer to our `request` ("validate", RFC 9261, section 7.4). A request can be
    /// answered once, whatever the outcome of the first valid answer.
    pub fn validate(
        &mut self,
        request: &AuthenticatorRequest,
        authenticator: &[u8],
    ) -> Result<Validated, InvalidAuthenticator> {
        self.contexts.check_open(request.context())?;
        let authenticator = Authenticator::parse(authenticator)?;
        let validated = stateless::validate(
            &self.values,
            self.role.peer(),
            request,
            &authenticator,
            &self.algorithms,
        )?;
        self.contexts.answer(request.context())?;
        Ok(validated)
    }

    /// Checks what a server sent without a request; for clients only. `offered` is what our
    /// ClientHello offered.
    pub fn validate_spontaneous(
        &mut self,
        authenticator: &[u8],
        offered: &Offered,
    ) -> Result<Validated, InvalidAuthenticator> {
        if self.role == Role::Server {
            return Err(InvalidAuthenticator::SpontaneousClient);
        }
        let authenticator = Authenticator::parse(authenticator)?;
        let context = authenticator.context().ok_or(Malformed::MessageSequence)?;
        self.contexts.check_new(context)?;
        let validated = stateless::validate_on(
            &self.values,
            self.role.peer(),
            Occasion::Spontaneous {
                context: None,
                offered,
            },
            &authenticator,
            &self.algorithms,
        )?;
        self.contexts.spontaneous(context)?;
        Ok(validated)
    }
}
