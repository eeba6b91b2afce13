using System.Buffers;
using EdgeStream.Devices.Mqtt.Broker;
using MQTTnet;

namespace EdgeStream.Devices.Tests.Mqtt;

public sealed class RetainedFileTests
{
    [Fact]
    public void File_is_never_larger_than_it_may_be_and_has_all_that_there_is_room_for()
    {
        const int Max = 10_000, Messages = 20;

        // Three bytes a character.
        RoutedMessage[] messages = [.. Enumerable.Range(0, Messages).Select(i => new RoutedMessage(
            new MqttApplicationMessage { Topic = $"{i:00}{new string('水', 300)}", Payload = new ReadOnlySequence<byte>(new byte[10]) }, TimeSpan.Zero))];

        byte[] contents = RetainedFile.Write(messages, TimeSpan.Zero, Max, out int leftOut);
        Assert.InRange(contents.Length, Max - 1000, Max);
        Assert.Equal(messages.Take(Messages - leftOut).Select(message => message.Topic), RetainedFile.Read(contents).Select(message => message.Topic));
        Assert.InRange(leftOut, 1, Messages - 1);

        // To the byte.
        Assert.Equal(contents, RetainedFile.Write(messages, TimeSpan.Zero, contents.Length, out int leftOutOfAsMuch));
        Assert.Equal(leftOut, leftOutOfAsMuch);
        RetainedFile.Write(messages, TimeSpan.Zero, contents.Length - 1, out int leftOutOfLess);
        Assert.Equal(leftOut + 1, leftOutOfLess);
    }
}
