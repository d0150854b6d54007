//! After everything has run: no log holds a secret, a credential or a prompt.

use local_stack::Description;

/// Looks through the edges' logs for what must never be there.
pub fn hold_no_secret(stack: &Description) -> Result<(), String> {
    let secrets = [
        ("the provider's key", "sk-canary-provider-key"),
        ("Supabase's secret key", &stack.supabase.secret_key),
        ("an access token", &stack.demo.access_token),
        ("the demo user's password", &stack.demo.password),
        ("an API key", stack.demo.api_key.as_deref().unwrap_or("sk-canary-provider-key")),
        ("a user's password", conformance::PASSWORD),
        ("a prompt", "Say something about edges."),
    ];
    for host in stack.edges.keys() {
        let path = stack.logs.get(host).ok_or_else(|| format!("{host} has no log"))?;
        let log = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        if log.lines().count() < 10 {
            return Err(format!("the log of {host} has {} lines: is it written at all?", log.lines().count()));
        }
        for (what, secret) in secrets {
            if let Some(line) = log.lines().find(|line| line.contains(secret)) {
                return Err(format!("the log of {host} holds {what}: {}", line.replace(secret, "[…]")));
            }
        }
    }
    Ok(())
}
