using System.Globalization;
using System.Text;
using System.Text.Json;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Tools;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Cli;

/// <summary>Turns what stands in a segment into lines.</summary>
internal abstract class DumpWriter
{
    /// <summary>Writes a part's lines and counts them off; what cannot be shown of it is the result.</summary>
    public abstract string? Write(SegmentFile segment, in SegmentPart part, long fromOffset, ref long remaining);

    protected static string Time(long milliseconds) => Instants.Format(milliseconds) ?? milliseconds.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A line a record: offset, time, key, value and headers, with tabs between them.</summary>
internal sealed class RecordDumpWriter(TextWriter output, bool json) : DumpWriter
{
    public override string? Write(SegmentFile segment, in SegmentPart part, long fromOffset, ref long remaining)
    {
        if (!part.IsGood)
            return part.Problem;

        try
        {
            using RecordBatchReader reader = RecordBatchReader.Open(part.Bytes);
            while (remaining > 0 && reader.TryRead(out Record record))
            {
                if (record.Offset < fromOffset)
                    continue;

                output.WriteLine(json ? ConsumeCommand.ToJson(record) : ToText(record));
                remaining--;
            }

            return null;
        }
        catch (CorruptBatchException corrupt)
        {
            return corrupt.Message;
        }
    }

    private static string ToText(in Record record)
    {
        string text = string.Create(
            CultureInfo.InvariantCulture, $"{record.Offset}\t{Time(record.Timestamp)}\t{VisibleText.Of(record.Key)}\t{VisibleText.Of(record.Value)}");
        return record.Headers.Count == 0
            ? text
            : text + "\t" + string.Join(' ', record.Headers.Select(header => $"{VisibleText.Of(header.Key)}={VisibleText.Of(header.Value)}"));
    }
}

/// <summary>A line a batch, damaged ones included as far as their headers can be read.</summary>
internal sealed class BatchDumpWriter(TextWriter output, bool json) : DumpWriter
{
    private static readonly (string Name, int Width)[] Columns =
    [
        ("FIRST", 12), ("LAST", 12), ("RECORDS", 8), ("BYTES", 9), ("CODEC", -6), ("CRC", -3), ("FROM", -24), ("TO", -24),
        ("PRODUCER", 8), ("EPOCH", 5), ("SEQUENCE", 8), ("POSITION", 10),
    ];

    private bool _hasHeading;

    public override string? Write(SegmentFile segment, in SegmentPart part, long fromOffset, ref long remaining)
    {
        if (part.Header is not { } header)
            return part.Problem;

        (long min, long max) = part.IsGood ? Times(part) : (header.BaseTimestamp, header.MaxTimestamp);
        if (json)
            output.WriteLine(ToJson(segment, part, header, min, max));
        else
            WriteRow(part, header, min, max);

        remaining--;
        return null;
    }

    /// <summary>A header names the first timestamp and the largest; the smallest takes a look at the records.</summary>
    private static (long Min, long Max) Times(in SegmentPart batch)
    {
        (long min, long max) = (batch.Header!.Value.BaseTimestamp, batch.Header.Value.MaxTimestamp);
        try
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch.Bytes);
            while (reader.TryRead(out Record record))
                min = Math.Min(min, record.Timestamp);
        }
        catch (CorruptBatchException)
        {
            // The checksum is right, so it was written like that. The header stays true.
        }

        return (min, max);
    }

    private void WriteRow(in SegmentPart part, in RecordBatchHeader header, long min, long max)
    {
        if (!_hasHeading)
            WriteRow([.. Columns.Select(column => column.Name)]);

        _hasHeading = true;
        WriteRow([
            header.BaseOffset, header.LastOffset, header.RecordCount, header.TotalLength, Codec(header), Crc(part), Time(min), Time(max),
            header.ProducerId, header.ProducerEpoch, header.BaseSequence, part.Position,
        ]);
    }

    private void WriteRow(object[] values)
    {
        var line = new StringBuilder();
        foreach ((object value, (_, int width)) in values.Zip(Columns))
        {
            string text = Convert.ToString(value, CultureInfo.InvariantCulture)!;
            line.Append(width < 0 ? text.PadRight(-width) : text.PadLeft(width)).Append("  ");
        }

        output.WriteLine(line.ToString().TrimEnd());
    }

    private static string ToJson(SegmentFile segment, in SegmentPart part, in RecordBatchHeader header, long min, long max)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteString("file", segment.Path);
            json.WriteNumber("position", part.Position);
            json.WriteNumber("baseOffset", header.BaseOffset);
            json.WriteNumber("lastOffset", header.LastOffset);
            json.WriteNumber("records", header.RecordCount);
            json.WriteNumber("bytes", header.TotalLength);
            json.WriteString("codec", Codec(header));
            json.WriteString("crc", Crc(part));
            json.WriteNumber("minTimestamp", min);
            json.WriteNumber("maxTimestamp", max);
            json.WriteNumber("producerId", header.ProducerId);
            json.WriteNumber("producerEpoch", header.ProducerEpoch);
            json.WriteNumber("baseSequence", header.BaseSequence);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static string Crc(in SegmentPart part) => part.IsGood ? "ok" : "bad";

    private static string Codec(in RecordBatchHeader header) => header.Codec switch
    {
        CompressionCodec.Gzip => "gzip",
        CompressionCodec.Snappy => "snappy",
        CompressionCodec.Lz4 => "lz4",
        CompressionCodec.Zstd => "zstd",
        _ => "none",
    };
}
