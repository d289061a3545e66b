//! The SDK's client for one bucket, built from a connection, and built anew when its identity or its region has to
//! change.

use std::sync::Arc;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, ConfigBag, Credentials as Keys, IdentityCache, Intercept, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;

use crate::model::connection::{Connection, Credentials, Endpoint, Role};
use crate::store::secrets;

/// Where nothing else names a region. AWS answers there for every bucket, if only with its true region; others take
/// any.
const REGION_DEFAULT: &str = "us-east-1";

/// What clients are built from.
pub(super) struct Plan {
    pub(super) connection: Connection,
    pub(super) http: SharedHttpClient,
}

/// Whether an endpoint's host is this machine by its own address: a name may lead anywhere.
fn is_loopback(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).map(|host| host.trim_matches(['[', ']']));
    host.and_then(|host| host.parse::<std::net::IpAddr>().ok()).is_some_and(|address| address.is_loopback())
}

/// Whether an endpoint's host is one of AWS's.
fn is_of_aws(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
}

/// Whether the environment names another endpoint, for one service or for all.
fn is_named(service: &str) -> bool {
    [service, "AWS_ENDPOINT_URL"].iter().any(|name| std::env::var_os(name).is_some())
}

impl Plan {
    /// Whether AWS itself answers, and not a server that speaks its protocol.
    pub(super) fn is_aws(&self) -> bool {
        match &self.connection.endpoint {
            Endpoint::Aws => !is_named("AWS_ENDPOINT_URL_S3"),
            Endpoint::Url(url) => is_of_aws(url),
            Endpoint::File(_) => false,
        }
    }

    /// Whether a new client may come with other keys than the last one.
    pub(super) fn renewable(&self) -> bool {
        let fixed = matches!(self.connection.credentials, Credentials::Static { .. } | Credentials::Anonymous);
        !fixed || self.connection.role.is_some()
    }

    /// Whether the bucket's own region may be taken instead of ours.
    pub(super) fn follows_region(&self) -> bool {
        self.connection.region.is_none()
    }

    /// Whether a request's body needs no hash of its own: TLS already protects it, or it never leaves the machine.
    pub(super) fn skips_payload_hash(&self) -> bool {
        match &self.connection.endpoint {
            Endpoint::Url(url) => url.starts_with("https://") || is_loopback(url),
            Endpoint::Aws => true,
            Endpoint::File(_) => false,
        }
    }

    /// Builds a client. Nothing of an earlier one is reused but its connections: files and the environment are read
    /// again.
    pub(super) async fn build(&self, region: Option<&str>) -> (aws_sdk_s3::Client, String) {
        let region = match region.or(self.connection.region.as_deref()) {
            Some(region) => region.to_owned(),
            None => self.default_region().await,
        };
        let shared = unshown(self.shared(Region::new(region.clone())).await);
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(self.connection.path_style)
            // Retries and timeouts are ours alone: two loops around each other multiply.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .identity_cache(IdentityCache::lazy().build())
            .interceptor(Headers { requester_pays: self.connection.requester_pays });
        if let Endpoint::Url(url) = &self.connection.endpoint {
            config = config.endpoint_url(url);
        }
        if self.anonymous() {
            config = config.allow_no_auth();
        }
        (aws_sdk_s3::Client::from_conf(config.build()), region)
    }

    fn anonymous(&self) -> bool {
        matches!(self.connection.credentials, Credentials::Anonymous) && self.connection.role.is_none()
    }

    /// Environment, then profile. The instance's own region is not asked for: off AWS, waiting for nobody's answer
    /// takes seconds.
    async fn default_region(&self) -> String {
        let mut profile = ProfileFileRegionProvider::builder();
        if let Credentials::Profile(name) = &self.connection.credentials {
            profile = profile.profile_name(name);
        }
        let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(profile.build());
        chain.region().await.map_or_else(|| REGION_DEFAULT.to_owned(), |region| region.to_string())
    }

    /// Credentials and what else the environment says.
    async fn shared(&self, region: Region) -> SdkConfig {
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(self.http.clone()).region(region.clone());
        if let Ok(name) = AppName::new("s3sync") {
            loader = loader.app_name(name);
        }
        let loader = match &self.connection.credentials {
            Credentials::Default => {
                secrets::add_environment(&|name| std::env::var(name).ok());
                loader
            }
            Credentials::Profile(name) => {
                // Not through the default chain, where the environment would win over the profile that was named.
                let provider =
                    ProviderConfig::without_region().with_region(Some(region)).with_http_client(self.http.clone());
                let provider =
                    ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(name).build();
                loader.profile_name(name).credentials_provider(provider)
            }
            Credentials::Static { access_key_id, secret_access_key, session_token } => loader.credentials_provider(
                Keys::new(access_key_id, secret_access_key, session_token.clone(), None, "secretRef"),
            ),
            Credentials::Anonymous => loader.no_credentials(),
        };
        let shared = loader.load().await;
        match &self.connection.role {
            Some(role) => self.assume(role, unshown(shared)).await,
            None => shared,
        }
    }

    async fn assume(&self, role: &Role, shared: SdkConfig) -> SdkConfig {
        let sts = match self.sts_endpoint() {
            Some(url) => shared.to_builder().endpoint_url(url).build(),
            None => shared.clone(),
        };
        let mut provider = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(&sts);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        let provider = SharedCredentialsProvider::new(provider.build().await);
        shared.to_builder().credentials_provider(provider).build()
    }

    /// Where roles are assumed: AWS's own service, unless the environment names another, or the endpoint is not AWS's:
    /// MinIO and Ceph answer for STS on the endpoint of S3.
    fn sts_endpoint(&self) -> Option<String> {
        let Endpoint::Url(url) = &self.connection.endpoint else { return None };
        (!is_named("AWS_ENDPOINT_URL_STS") && !is_of_aws(url)).then(|| url.clone())
    }
}

/// The same, and no text shows the credentials that its provider finds.
fn unshown(shared: SdkConfig) -> SdkConfig {
    match shared.credentials_provider() {
        Some(provider) => {
            shared.to_builder().credentials_provider(SharedCredentialsProvider::new(Unshown(provider))).build()
        }
        None => shared,
    }
}

/// A provider whose credentials no text shows.
#[derive(Debug)]
struct Unshown(SharedCredentialsProvider);

impl ProvideCredentials for Unshown {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let keys = self.0.provide_credentials().await?;
            secrets::add_id(keys.access_key_id());
            secrets::add(keys.secret_access_key());
            keys.session_token().iter().for_each(|token| secrets::add(token));
            Ok(keys)
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Keys> {
        self.0.fallback_on_interrupt()
    }
}

/// What every request says, and does not say, about us.
///
/// What the SDK tells AWS about itself is taken away, but for the plain `user-agent`. A server reads, and in part
/// verifies, each header: these are a twelfth of what a MinIO does for a small object.
#[derive(Debug)]
struct Headers {
    /// Whether requests carry `x-amz-request-payer`.
    requester_pays: bool,
}

impl Intercept for Headers {
    fn name(&self) -> &'static str {
        "Headers"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("x-amz-user-agent");
        if self.requester_pays {
            headers.insert("x-amz-request-payer", "requester");
        }
        Ok(())
    }

    /// The SDK adds these two behind the signature.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("amz-sdk-invocation-id");
        headers.remove("amz-sdk-request");
        Ok(())
    }
}

/// The client in use.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) region: String,
    /// Counts builds: of several calls that fail with the same client, only the first builds another.
    pub(super) generation: u64,
}

/// What a failed call asks to be different.
pub(super) enum Change {
    /// Other keys.
    Identity,
    /// Another region.
    Region(String),
}

/// The client in use, which may be changed while calls are under way.
pub(super) struct Clients {
    pub(super) plan: Plan,
    current: std::sync::RwLock<Arc<Current>>,
    /// Held while a new client is built.
    building: tokio::sync::Mutex<()>,
}

impl Clients {
    pub(super) async fn begin(plan: Plan) -> Self {
        let (client, region) = plan.build(None).await;
        let current = Arc::new(Current { client, region, generation: 0 });
        Self { plan, current: std::sync::RwLock::new(current), building: tokio::sync::Mutex::default() }
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces the client of a failed call, unless another call has already done so.
    pub(super) async fn change(&self, failed: &Current, change: Change) {
        let _building = self.building.lock().await;
        let current = self.current();
        if current.generation != failed.generation {
            return;
        }
        let region = match change {
            Change::Identity => current.region.clone(),
            Change::Region(region) => region,
        };
        let (client, region) = self.plan.build(Some(&region)).await;
        let next = Arc::new(Current { client, region, generation: current.generation + 1 });
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_this_machine_and_no_name() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", true),
            ("http://127.8.0.1", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1:9000", false),
            ("http://[::2]", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
