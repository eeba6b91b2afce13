using EdgeStream.Testing.Power;

namespace EdgeStream.Packaging.Tests;

/// <summary>A service that hangs is started again within the watchdog's time; here that is 3 s.</summary>
public sealed class WatchdogTests(DebianSystem debian)
{
    // Twice the watchdog's time is the promise; the rest is for a busy test machine.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(40);

    [Fact(Timeout = 240_000)]
    public async Task Hung_process_and_hung_write_path_are_restarted_and_idleness_is_not()
    {
        debian.Require();
        using Device device = await Device.CreateAsync();
        using Machine machine = await device.BootAsync();
        (await machine.InstallAsync(debian.Package)).Good();
        await machine.ShAsync(
            "mkdir -p /etc/systemd/system/edgestream.service.d; printf '[Service]\\nWatchdogSec=3s\\nRestartSec=100ms\\n' >/etc/systemd/system/edgestream.service.d/test.conf;"
            + "systemctl daemon-reload; systemctl restart edgestream");
        await machine.ProduceAsync("before");

        // The whole process.
        string process = await machine.PropertyAsync("MainPID");
        await machine.RunAsync("kill", "-STOP", process);
        await RestartedAsync(machine, process);
        Assert.Contains("before", await machine.ConsumeAsync(), StringComparison.Ordinal);
        Assert.Equal(1, await WatchdogBitesAsync(machine));

        // Its data on a disk that stops answering: only the writer hangs, and everything else would go on for ever.
        using var disk = await DataDisk.MountAsync(machine);
        await machine.ProduceAsync("on the other disk");
        process = await machine.PropertyAsync("MainPID");
        disk.Freeze();
        Task<Ended> waiting = machine.TryAsync("timeout", "60", "sh", "-c", "echo hangs | edgestream produce readings");
        await machine.WaitForAsync("the watchdog bites", async () => await WatchdogBitesAsync(machine) == 2, Deadline);
        disk.Thaw();
        await RestartedAsync(machine, process);
        await waiting;
        Assert.Contains("the watchdog is not fed any more", await machine.JournalAsync(), StringComparison.Ordinal);
        Assert.Contains("on the other disk", await machine.ConsumeAsync(), StringComparison.Ordinal);

        // Longer than the watchdog's time, with nothing to do.
        process = await machine.PropertyAsync("MainPID");
        await machine.RunAsync("sleep", "7");
        Assert.Equal(process, await machine.PropertyAsync("MainPID"));
    }

    /// <summary>The process is asked for first: the state after it is then not that of the one before.</summary>
    private static Task RestartedAsync(Machine machine, string process) => machine.WaitForAsync(
        "it runs anew",
        async () => await machine.PropertyAsync("MainPID") != process && await machine.PropertyAsync("SubState") == "running",
        Deadline);

    private static async Task<int> WatchdogBitesAsync(Machine machine) =>
        (await machine.JournalAsync()).Split('\n').Count(line => line.Contains("Watchdog timeout", StringComparison.Ordinal));

    /// <summary>A file system of its own under the edge's data.</summary>
    private sealed class DataDisk : IDisposable
    {
        private const string Inside = "/var/lib/edgestream";

        private readonly LoopFileSystem _disk;
        private bool _frozen;

        private DataDisk(LoopFileSystem disk) => _disk = disk;

        public static async Task<DataDisk> MountAsync(Machine machine)
        {
            Assert.SkipUnless(LoopFileSystem.TryCreate(256, out LoopFileSystem? disk, out string reason), reason);
            await machine.RunAsync("systemctl", "stop", "edgestream");
            string device = (await Shell.RunAsync("findmnt", "-n", "-o", "SOURCE", disk!.Path)).Good().Trim();

            // The container has no loop devices; the node is made for it, and the mount done from there.
            string number = (await Shell.RunAsync("stat", "-c", "%t %T", device)).Good().Trim();
            string[] parts = number.Split(' ');
            await machine.ShAsync($"rm -f /data-disk; mknod /data-disk b 0x{parts[0]} 0x{parts[1]}; mount /data-disk {Inside}; chown edgestream: {Inside}");
            await machine.RunAsync("systemctl", "start", "edgestream");
            return new DataDisk(disk);
        }

        public void Freeze()
        {
            Tool.Run("fsfreeze", "-f", _disk.Path);
            _frozen = true;
        }

        public void Thaw()
        {
            Tool.Run("fsfreeze", "-u", _disk.Path);
            _frozen = false;
        }

        public void Dispose()
        {
            if (_frozen)
                Thaw();

            _disk.Dispose();
        }
    }
}
