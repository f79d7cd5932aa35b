//! TLS of SQL connections, by libpq's rules.
//!
//! The replication client builds its own from the same settings ([`super::connection`]); it takes the process's default
//! provider of cryptography, which is therefore installed here, explicitly: two are compiled in, and rustls refuses to
//! choose.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::address::{Address, SslMode};
use super::error::DefiniteError;

/// Makes the provider of cryptography the process's default; later calls change nothing.
pub fn install_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// What a handshake with a server at this address needs.
pub(super) fn client_config(address: &Address) -> Result<ClientConfig, DefiniteError> {
    let fault = |what: &str, error: &dyn std::fmt::Display| DefiniteError::Tls(format!("{what}: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(roots(address)?);
    let verifier: Arc<dyn ServerCertVerifier> = match address.ssl_mode {
        SslMode::VerifyFull => WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| fault("sslrootcert", &error))?,
        SslMode::VerifyCa => Arc::new(Lenient { roots: Some(roots), provider: provider.clone() }),
        _ => Arc::new(Lenient { roots: None, provider: provider.clone() }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("protocol versions", &error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let (Some(cert), Some(key)) = (&address.ssl_cert, &address.ssl_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(|certs| certs.collect::<Result<Vec<_>, _>>())
        .map_err(|error| fault(&cert.display().to_string(), &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(&key.display().to_string(), &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| fault("sslcert", &error))
}

fn roots(address: &Address) -> Result<RootCertStore, DefiniteError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &address.ssl_root_cert else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let fault = |error: &dyn std::fmt::Display| DefiniteError::Tls(format!("sslrootcert {}: {error}", path.display()));
    for cert in CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))? {
        roots.add(cert.map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
    }
    if roots.is_empty() { Err(fault(&"no certificate in it")) } else { Ok(roots) }
}

/// Looks at the certificate's chain (`verify-ca`) or not at all (`require`, `prefer`), never at its name. That the server
/// holds the certificate's key is checked always.
#[derive(Debug)]
struct Lenient {
    roots: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let cert = ParsedCertificate::try_from(cert)?;
            verify_server_cert_signed_by_trust_anchor(&cert, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
