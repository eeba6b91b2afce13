using EdgeStream.Cluster.Groups;

namespace EdgeStream.Cluster.Tests.Groups;

/// <summary>Who reads what: nobody reads a partition that another has not let go of, and all are read in the end.</summary>
public sealed class ConsumerGroupTests
{
    [Fact]
    public void Member_that_comes_gets_its_share_when_the_others_have_let_go_of_it()
    {
        var group = new ConsumerGroup("g", "t");
        GroupMember first = Join(group, "a", 4);
        Assert.Equal([0, 1, 2, 3], first.Tell());

        GroupMember second = Join(group, "b", 4);
        Assert.Equal([0, 1], first.Owned);
        Assert.Empty(second.Owned);

        first.Releasing.Clear();
        group.Share([0, 1, 2, 3], now: 0);
        Assert.Equal([2, 3], second.Owned);
    }

    [Fact]
    public void Member_that_comes_before_the_others_were_told_of_their_share_gets_its_own_at_once()
    {
        var group = new ConsumerGroup("g", "t");
        GroupMember first = Join(group, "a", 4), second = Join(group, "b", 4);
        Assert.Equal([0, 1], first.Tell());
        Assert.Empty(first.Releasing);
        Assert.Equal([2, 3], second.Tell());
    }

    [Fact]
    public void Member_that_comes_takes_no_more_than_its_share_and_nothing_else_changes_hands()
    {
        var group = new ConsumerGroup("g", "t");
        List<GroupMember> members = [.. Enumerable.Range(0, 5).Select(i => Join(group, $"{i}", 30))];
        Settle(group, 30);
        Dictionary<int, GroupMember> before = members.SelectMany(member => member.Owned.Select(p => (p, member))).ToDictionary();

        GroupMember late = Join(group, "late", 30);
        Settle(group, 30);
        Assert.Equal(5, late.Owned.Count);
        Assert.Equal(25, before.Count(owned => owned.Value.Owned.Contains(owned.Key)));
    }

    [Fact]
    public void Any_coming_and_going_leaves_each_partition_with_one_reader_and_members_with_equal_shares()
    {
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (int round = 0; round < 300; round++)
        {
            var group = new ConsumerGroup("g", "t");
            int partitions = random.Next(1, 20);
            var told = new Dictionary<GroupMember, HashSet<int>>();
            for (int step = 0; step < 40; step++)
            {
                switch (random.Next(6))
                {
                    case 0 or 1 when group.Members.Count < 8:
                        told[Join(group, $"{round}.{step}", partitions)] = [];
                        break;
                    case 2 when group.Members.Count > 0:
                        group.Remove(Any(group, random));
                        break;
                    case 3:
                        partitions++;
                        break;
                    case 4 when group.Members.Count > 0:
                        HashSet<int> releasing = Any(group, random).Releasing;
                        releasing.RemoveWhere(_ => random.Next(2) == 0);
                        break;
                    case 5 when group.Members.Count > 0:
                        GroupMember listening = Any(group, random);
                        told[listening].UnionWith(listening.Tell());
                        break;
                }

                group.Share([.. Enumerable.Range(0, partitions)], now: step);
                int[] read = [.. group.Members.SelectMany(member => member.Owned.Concat(member.Releasing))];
                Assert.Equal(read.Distinct().Count(), read.Length);

                // What nobody lets go of would be read by nobody.
                Assert.All(group.Members, member => Assert.Subset(told[member], member.Releasing));
            }

            if (group.Members.Count == 0)
                continue;

            Settle(group, partitions);
            Assert.Equal(Enumerable.Range(0, partitions), group.Members.SelectMany(member => member.Owned).Order());
            Assert.InRange(group.Members.Max(member => member.Owned.Count) - group.Members.Min(member => member.Owned.Count), 0, 1);
        }
    }

    private static GroupMember Join(ConsumerGroup group, string name, int partitions)
    {
        var member = new GroupMember(group, name);
        group.Add(member);
        group.Share([.. Enumerable.Range(0, partitions)], now: 0);
        return member;
    }

    private static GroupMember Any(ConsumerGroup group, Random random) => group.Members[random.Next(group.Members.Count)];

    private static void Settle(ConsumerGroup group, int partitions)
    {
        foreach (GroupMember member in group.Members)
            member.Releasing.Clear();

        group.Share([.. Enumerable.Range(0, partitions)], now: 0);
    }
}
