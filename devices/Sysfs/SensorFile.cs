namespace EdgeStream.Devices.Sysfs;

/// <summary>One reading of a sensor's file.</summary>
internal static class SensorFile
{
    /// <param name="path">The file.</param>
    /// <param name="options">What becomes of the number in it.</param>
    /// <param name="value">The value.</param>
    /// <param name="reason">Where there is none, why in a word.</param>
    /// <param name="problem">The same for people, in one line.</param>
    public static bool TryRead(string path, SysfsOptions options, out decimal value, out DropReason reason, out string problem)
    {
        value = 0;
        try
        {
            if (KernelValue.TryParse(KernelFile.Read(path), out decimal raw, out string why))
            {
                value = (raw + options.Offset) * options.Scale;
                (reason, problem) = (default, "");
                return true;
            }

            (reason, problem) = (DropReason.BadValue, $"'{path}': {why}");
        }
        catch (IOException error)
        {
            (reason, problem) = (DropReason.NotReadable, error.Message);
        }
        catch (OverflowException)
        {
            (reason, problem) = (DropReason.BadValue, $"'{path}': its value is beyond all numbers");
        }

        return false;
    }
}
