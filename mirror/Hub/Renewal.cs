using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Mirror.Hub;

/// <summary>The hub's answer to an edge that asks for a newer certificate.</summary>
/// <param name="Certificate">The caller's to dispose; null while it is not due.</param>
/// <param name="AskAgain">From now.</param>
public sealed record Renewal(X509Certificate2? Certificate, TimeSpan AskAgain);
