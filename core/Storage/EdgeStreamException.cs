namespace EdgeStream.Storage;

/// <summary>
/// Root of every error that this program raises on purpose. The message is one line for a person and says what to do;
/// anything else that escapes is a bug.
/// </summary>
public class EdgeStreamException : Exception
{
    public EdgeStreamException(string message)
        : base(message)
    {
    }

    public EdgeStreamException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
