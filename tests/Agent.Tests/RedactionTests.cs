using EdgeStream.Agent.Diagnostics;

namespace EdgeStream.Agent.Tests;

public sealed class RedactionTests
{
    [Theory]
    [InlineData("password = \"hunter2\"\nnext = 1", "password = \"***\"\nnext = 1")]
    [InlineData("password=\"a\\\"hunter2\" # was hunter1\nnext = 1", "password=\"***\"\nnext = 1")]
    [InlineData("command = [\"meter\", \"--key\", 'hunter2', # hunter1\n  \"[x]\",\n]\nkey = \"a\"", "command = [\"meter\", \"***\"]\nkey = \"a\"")]
    [InlineData("command = [ \"meter\" ] # each minute", "command = [ \"meter\" ] # each minute")]
    [InlineData("broker = \"mqtt://me:hunter2@broker:1883\"", "broker = \"mqtt://***@broker:1883\"")]
    [InlineData("{ username = \"u\", password = 'hunter2', topic = \"t\" }", "{ username = \"u\", password = \"***\", topic = \"t\" }")]
    [InlineData("\"password\" = \"\"\"\nhunter2\"\n\"\"\"\nnext = 1", "\"password\" = \"***\"\nnext = 1")]
    [InlineData("api-token = '''hunter2'''", "api-token = \"***\"")]
    [InlineData("Client_Secret = hunter2", "Client_Secret = \"***\"")]
    [InlineData("password = \"hunter2, no end\nnext = 1", "password = \"***\"\nnext = 1")]
    [InlineData("key = \"{1}\"\ntopic = \"passwords\"", "key = \"{1}\"\ntopic = \"passwords\"")]
    public void Value_of_what_is_named_as_a_secret_goes(string toml, string expected) => Assert.Equal(expected, Redaction.Redact(toml));
}
