namespace EdgeStream.Packaging.Tests;

/// <summary>The program for data centers, on an emulated processor.</summary>
public sealed class Arm64HubTests
{
    private const string Emulator = "qemu-aarch64-static";
    private const string Libraries = "/usr/aarch64-linux-gnu";

    private readonly string _program = Repository.At("artifacts", "aot-hub", "linux-arm64", "edgestream");

    /// <summary>As far as it gets without OpenSSL, which is not among the cross compiler's libraries.</summary>
    [Fact(Timeout = 120_000)]
    public async Task Program_starts_and_has_jetstream()
    {
        Assert.SkipUnless(File.Exists(_program), "there is no native build of the hub for arm64; 'make aot-hub RID=linux-arm64' makes it");
        Assert.SkipWhen((await Shell.RunAsync(Emulator, "--version")).ExitCode == 127, $"{Emulator} is not installed");
        Assert.SkipUnless(Directory.Exists(Libraries), $"{Libraries} is not there; libc6-arm64-cross brings it");
        foreach (string kind in (string[])["sc", "spu"])
        {
            Ended check = await Shell.RunAsync(
                Emulator, "-L", Libraries, _program, "check", "--config-only", "--config", Repository.At("packaging", "deb", "hub", kind + ".toml"));
            Assert.True(check.ExitCode == 0, check.Output);
        }
    }
}
