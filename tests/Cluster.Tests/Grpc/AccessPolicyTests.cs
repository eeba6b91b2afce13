using EdgeStream.Cluster.Grpc;
using EdgeStream.Protocol.V1;
using Google.Protobuf.Reflection;

namespace EdgeStream.Cluster.Tests.Grpc;

public class AccessPolicyTests
{
    private const string Everyone = "Anonymous Consumer Producer GeoLocation ExpiredGeoLocation Spu Admin";
    private const string Readers = "Consumer Producer Admin";

    // Each method of each service, and who may call it over the network. One that is added must be added here.
    private static readonly Dictionary<string, string> Expected = new()
    {
        ["ControlPlane/GetTopology"] = Readers,
        ["ControlPlane/ListPartitions"] = Readers,
        ["ControlPlane/ListGaps"] = Readers,
        ["ControlPlane/CreateTopic"] = "Admin",
        ["ControlPlane/AlterTopic"] = "Admin",
        ["ControlPlane/DeleteTopic"] = "Admin",
        ["ControlPlane/RemoveSpu"] = "Admin",
        ["ControlPlane/InviteGeoLocation"] = "Admin",
        ["ControlPlane/RevokeGeoLocation"] = "Admin",
        ["ControlPlane/RevokeCertificate"] = "Admin",
        ["ControlPlane/IssueCertificate"] = "Admin",
        ["DataPlane/Produce"] = "Producer Admin",
        ["DataPlane/Consume"] = "Consumer Admin",
        ["ConsumerGroups/Join"] = "Consumer Admin",
        ["ConsumerGroups/ListGroups"] = Readers,
        ["ConsumerGroups/ResetGroup"] = "Admin",
        ["ConsumerGroups/DeleteGroup"] = "Admin",
        ["SpuControl/Register"] = "Spu",
        ["SpuControl/EnsureMirrorPartition"] = "Spu",
        ["SpuControl/EnsureGeoLocation"] = "Spu",
        ["Mirror/Locate"] = "GeoLocation",
        ["Mirror/Uplink"] = "GeoLocation",
        ["Mirror/ListMirrored"] = "GeoLocation",
        ["Mirror/ListBatches"] = "GeoLocation",
        ["Downlink/Follow"] = "GeoLocation",
        ["Live/Report"] = "GeoLocation",
        ["Live/Latest"] = "Consumer Admin",
        ["Enrolment/GetAuthority"] = Everyone,
        ["Enrolment/Join"] = Everyone,
        ["Enrolment/Renew"] = "GeoLocation ExpiredGeoLocation",
        ["Agent/GetStatus"] = "",
        ["Agent/JoinHub"] = "",
        ["Agent/LeaveHub"] = "",
        ["Agent/ExportLog"] = "",
        ["Agent/ImportLog"] = "",
    };

    public static TheoryData<string> Methods => [.. EachMethod().Select(method => $"{method.Service.Name}/{method.Name}")];

    [Fact]
    public void Table_of_this_test_knows_each_method() =>
        Assert.Equal(Expected.Keys.Order(), EachMethod().Select(method => $"{method.Service.Name}/{method.Name}").Order());

    [Theory]
    [MemberData(nameof(Methods))]
    public void Method_is_open_to_its_roles_and_nobody_else(string method)
    {
        string[] allowed = Expected[method].Split(' ');
        foreach (CallerRole role in Enum.GetValues<CallerRole>())
        {
            var caller = new CallerIdentity(role, "caller");
            if (role == CallerRole.Local || allowed.Contains(role.ToString()))
                AccessPolicy.Check($"/edgestream.v1.{method}", caller);
            else
                AssertRefused(RefusalOf(role), method, caller);
        }
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void Nothing_but_joining_is_open_to_a_refused_certificate(string method)
    {
        CallerIdentity rejected = CallerIdentity.Rejected("it is a forgery");
        if (Expected[method] == Everyone)
            AccessPolicy.Check($"/edgestream.v1.{method}", rejected);
        else
            Assert.Contains("it is a forgery", AssertRefused(ErrorCode.Unauthenticated, method, rejected).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_method_is_open_to_nobody() =>
        AssertRefused(ErrorCode.PermissionDenied, "Future/Method", new CallerIdentity(CallerRole.Admin, "admin"));

    private static ErrorCode RefusalOf(CallerRole role) => role switch
    {
        CallerRole.Anonymous => ErrorCode.Unauthenticated,
        CallerRole.ExpiredGeoLocation => ErrorCode.CertificateExpired,
        _ => ErrorCode.PermissionDenied,
    };

    private static ClusterException AssertRefused(ErrorCode code, string method, CallerIdentity caller)
    {
        var refused = Assert.Throws<ClusterException>(() => AccessPolicy.Check($"/edgestream.v1.{method}", caller));
        Assert.Equal(code, refused.Code);
        return refused;
    }

    private static IEnumerable<MethodDescriptor> EachMethod() => typeof(ControlReflection).Assembly.GetTypes()
        .Where(type => type.Name.EndsWith("Reflection", StringComparison.Ordinal))
        .Select(type => (FileDescriptor)type.GetProperty("Descriptor")!.GetValue(null)!)
        .SelectMany(file => file.Services)
        .SelectMany(service => service.Methods);
}
