//! Sends mails: into a folder, or to an SMTP server.

use std::fmt;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use futurecall_runtime::BoxError;
use lettre::message::Mailbox;
use lettre::{Address, AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// Sends mails. Handlers borrow it from the pod's state.
pub struct Mailer {
    transport: Transport,
}

/// A mail to be sent.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The `Message-ID` without the domain. It is made from the call's id, which is the same for all attempts, so that a
    /// receiver can detect repetitions.
    pub id: String,
    /// The receiver's name.
    pub name: &'a str,
    /// The receiver's address.
    pub email: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The text.
    pub body: String,
}

/// The domain of our own addresses, reserved by RFC 2606.
pub const DOMAIN: &str = "drip.example";

/// The [`Letter::id`] of each mail in an outbox.
///
/// # Errors
///
/// If a file cannot be read, or is not one of our mails.
pub fn letter_ids(folder: &Path) -> Result<Vec<String>, BoxError> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let mail = std::fs::read_to_string(&path)?;
        let id = mail.split_once("Message-ID:").and_then(|(_, rest)| rest.trim_start().strip_prefix('<'));
        let id = id.and_then(|rest| rest.split_once('@')).map(|(id, _)| id.to_owned());
        ids.push(id.ok_or_else(|| format!("{} has no Message-ID", path.display()))?);
    }
    Ok(ids)
}

enum Transport {
    Outbox(AsyncFileTransport<Tokio1Executor>, PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

impl Mailer {
    /// Returns a mailer that writes each mail to a file in a folder, which is created if missing.
    ///
    /// # Errors
    ///
    /// If the folder cannot be created.
    pub fn outbox(folder: &Path) -> Result<Self, BoxError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self { transport: Transport::Outbox(AsyncFileTransport::new(folder), folder.to_owned()) })
    }

    /// Returns a mailer that sends to `smtp://host[:port]` without TLS and authentication, for a relay on the same machine or a
    /// test server. For others, build this example with one of lettre's TLS features.
    ///
    /// # Errors
    ///
    /// If the URL has another form.
    pub fn smtp(url: &str) -> Result<Self, BoxError> {
        let uri: Uri = url.parse().map_err(|error| format!("SMTP_URL does not read: {error}"))?;
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let (Some("smtp"), Some(host), true) = (uri.scheme_str(), uri.host(), plain) else {
            return Err(
                "SMTP_URL must be smtp://host[:port]: this example speaks neither TLS nor passwords".into()
            );
        };
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host);
        Ok(Self { transport: Transport::Smtp(smtp.port(uri.port_u16().unwrap_or(25)).build()) })
    }

    /// Returns the folder of the mails, if they are files.
    pub fn folder(&self) -> Option<&Path> {
        match &self.transport {
            Transport::Outbox(_, folder) => Some(folder),
            Transport::Smtp(_) => None,
        }
    }

    pub(crate) async fn send(&self, letter: Letter<'_>) -> Result<(), BoxError> {
        let Letter { id, name, email, subject, body } = letter;
        let message = Message::builder()
            .message_id(Some(format!("<{id}@{DOMAIN}>")))
            .from(Mailbox::new(Some("Drip".to_owned()), Address::new("hello", DOMAIN)?))
            .to(Mailbox::new(Some(name.to_owned()), email.parse()?))
            .subject(subject)
            .body(body)?;
        match &self.transport {
            Transport::Outbox(outbox, _) => outbox.send(message).await.map(drop)?,
            Transport::Smtp(smtp) => smtp.send(message).await.map(drop)?,
        }
        Ok(())
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("folder", &self.folder()).finish_non_exhaustive()
    }
}

impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.folder() {
            Some(folder) => write!(f, "{}", folder.display()),
            None => f.write_str("sent by SMTP"),
        }
    }
}
