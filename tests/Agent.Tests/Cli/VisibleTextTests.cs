using System.Text;
using EdgeStream.Agent.Cli;

namespace EdgeStream.Agent.Tests.Cli;

public class VisibleTextTests
{
    [Theory]
    [InlineData("21.5 °C", "21.5 °C")]
    [InlineData("", "\"\"")]
    [InlineData("a\tb\r\n", @"a\tb\r\n")]
    [InlineData("a long enough text \u001b[2J\u0007", @"a long enough text \x1b[2J\x07")]
    [InlineData(@"a\x1b", @"a\\x1b")]
    [InlineData("eighty \u009b and \u202e more", @"eighty \x9b and \u{202e} more")]
    [InlineData("\0\u0001\u0002x", "0x00010278")]
    [InlineData("😀", "😀")]
    public void Text_is_shown_without_what_a_terminal_would_obey(string text, string shown) =>
        Assert.Equal(shown, VisibleText.Of(Encoding.UTF8.GetBytes(text)));

    [Theory]
    [InlineData("{\"a\": \"x\\\\n\"}\n\tb", "{\"a\": \"x\\\\n\"}\n\tb")]
    [InlineData("\u001b]0;title\u0007 \u202e", @"\x1b]0;title\x07 \u{202e}")]
    public void Text_for_a_terminal_keeps_its_lines_tabs_and_backslashes(string text, string shown) => Assert.Equal(shown, VisibleText.Harmless(text));

    [Fact]
    public void What_is_no_text_is_hexadecimal_and_null_a_dash()
    {
        Assert.Equal("0xff00c3", VisibleText.Of(new byte[] { 0xff, 0, 0xc3 }));
        Assert.Equal("-", VisibleText.Of((ReadOnlyMemory<byte>?)null));
    }
}
