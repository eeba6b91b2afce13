using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Xml.Linq;

namespace EdgeStream.Agent.Tests;

/// <summary>The native build lacks what agent/NotReached.xml lists. The tests run other builds, in which all of it would work.</summary>
public sealed class NotReachedTests
{
    private const string Regex = "System.Text.RegularExpressions.Regex";

    private static readonly XDocument NotReached = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "NotReached.xml"));

    [Theory]
    [InlineData("edgestream")]
    [InlineData("EdgeStream.Client")]
    [InlineData("EdgeStream.Cluster")]
    [InlineData("EdgeStream.Devices")]
    [InlineData("EdgeStream.Mirror")]
    [InlineData("EdgeStream.Protocol")]
    [InlineData("EdgeStream.Storage")]
    public void Nothing_of_ours_calls_what_the_native_build_does_not_have(string assembly)
    {
        HashSet<string> removed = [.. NotReached.Descendants("type").SelectMany(type => type.Elements("method")
            .Where(method => (string?)method.Attribute("body") == "remove")
            .Select(method => $"{(string?)type.Attribute("fullname")}.{NameIn((string)method.Attribute("signature")!)}"))];
        Assert.Contains($"{Regex}..ctor", removed);

        using var file = new PEReader(File.OpenRead(Path.Combine(AppContext.BaseDirectory, assembly + ".dll")));
        Assert.DoesNotContain(Calls(file.GetMetadataReader()), call => removed.Contains(call.Name) || IsStaticOfRegex(call));
    }

    [Fact]
    public void Each_entry_is_one_that_the_compiler_checks_and_says_why()
    {
        // A method that is not named by its signature is passed over without a word.
        Assert.All(NotReached.Descendants("method"), method => Assert.NotNull(method.Attribute("signature")));
        Assert.All(NotReached.Descendants("type"), type => Assert.IsType<XComment>(type.Nodes().First(node => node is not XText)));
    }

    // 'Return Name`1(Arguments)'
    private static string NameIn(string signature) => signature[..signature.IndexOf('(', StringComparison.Ordinal)].Split(' ')[^1].Split('`')[0];

    // They make what its constructors make. What the source generator writes calls one that does not.
    private static bool IsStaticOfRegex((string Name, SignatureHeader Header) call) =>
        !call.Header.IsInstance && call.Name.StartsWith($"{Regex}.", StringComparison.Ordinal) && call.Name != $"{Regex}.ValidateMatchTimeout";

    /// <summary>The methods of other assemblies that are called, but for constructors without arguments: generated classes call Regex's.</summary>
    private static IEnumerable<(string Name, SignatureHeader Header)> Calls(MetadataReader metadata)
    {
        foreach (MemberReference member in metadata.MemberReferences.Select(metadata.GetMemberReference))
        {
            if (member.GetKind() != MemberReferenceKind.Method || member.Parent.Kind != HandleKind.TypeReference)
                continue;

            TypeReference type = metadata.GetTypeReference((TypeReferenceHandle)member.Parent);
            BlobReader signature = metadata.GetBlobReader(member.Signature);
            SignatureHeader header = signature.ReadSignatureHeader();
            if (header.IsGeneric)
                signature.ReadCompressedInteger();

            string name = metadata.GetString(member.Name);
            if (name != ConstructorInfo.ConstructorName || signature.ReadCompressedInteger() > 0)
                yield return ($"{metadata.GetString(type.Namespace)}.{metadata.GetString(type.Name)}.{name}", header);
        }
    }
}
