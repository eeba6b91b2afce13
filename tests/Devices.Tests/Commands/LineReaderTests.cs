using System.Text;
using EdgeStream.Devices.Commands;

namespace EdgeStream.Devices.Tests.Commands;

public sealed class LineReaderTests
{
    [Theory]
    [InlineData("", "", 0)]
    [InlineData("a\nb\n", "a|b", 0)]
    [InlineData("a\r\nb", "a|b", 0)]
    [InlineData("\n\n\r\na\n", "a", 0)]
    [InlineData("12345678\n12345678\r\n123456789\nx\n", "12345678|12345678|x", 1)]
    [InlineData("1234567890123456789012345678901234567890\nx", "x", 1)]
    [InlineData("x\n1234567890123456789012345678901234567890", "x", 1)]
    [InlineData("1234567890", "", 1)]
    public async Task Lines_are_cut_whatever_pieces_they_come_in(string text, string expected, int tooLong)
    {
        for (int piece = 1; piece <= text.Length + 1; piece++)
        {
            var reader = new LineReader(new Pieces(Encoding.UTF8.GetBytes(text), piece), maxLineBytes: 8);
            List<string> lines = [];
            while (!reader.IsAtEnd)
                lines.AddRange((await reader.ReadAsync(CancellationToken.None)).Select(line => Encoding.UTF8.GetString(line.Span)));

            Assert.Equal(expected, string.Join('|', lines));
            Assert.Equal(tooLong, reader.TooLong);
        }
    }

    [Fact]
    public async Task Line_without_end_is_counted_while_it_comes()
    {
        var reader = new LineReader(new Pieces(Encoding.UTF8.GetBytes(new string('x', 100)), piece: 4), maxLineBytes: 8);
        Assert.Empty(await reader.ReadAsync(CancellationToken.None));
        Assert.Equal((1, false), (reader.TooLong, reader.IsAtEnd));
    }

    /// <summary>A stream that gives so many bytes at a time.</summary>
    private sealed class Pieces(byte[] bytes, int piece) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(piece, buffer.Length)], cancellationToken);
    }
}
