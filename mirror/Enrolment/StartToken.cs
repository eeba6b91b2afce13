using System.Text;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// What an edge shows its hub to prove that it is the same card as before: given by the hub at each start, kept in a file beside
/// the identity. For one caller at a time.
/// </summary>
internal sealed class StartToken
{
    private const string FileName = "start-token";
    private const int MaxLength = 128;

    private readonly string _path;

    /// <param name="identityDirectory">Where the edge's identity at this hub lies.</param>
    public StartToken(string identityDirectory)
    {
        _path = Path.Combine(identityDirectory, FileName);
        Value = SmallFile.TryRead(DiskFiles.Instance, _path, MaxLength) is { } contents ? Encoding.ASCII.GetString(contents).Trim() : "";
    }

    /// <summary>What is shown; empty where none was given yet.</summary>
    public string Value { get; private set; }

    /// <summary>Whether this start has not got its own yet.</summary>
    public bool IsNewStart { get; private set; } = true;

    /// <summary>Keeps what the hub has given; false where the disk cannot take it: then the one before stays good.</summary>
    public bool TryKeep(string token)
    {
        if (token.Length == 0 || token.Length > MaxLength)
            return false;

        try
        {
            SmallFile.Replace(DiskFiles.Instance, _path, Encoding.ASCII.GetBytes(token + "\n"));
        }
        catch (IOException)
        {
            return false;
        }

        (Value, IsNewStart) = (token, false);
        return true;
    }
}
