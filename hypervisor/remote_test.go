package hypervisor

import "testing"

// TestIDs: ids read as in the artifacts of Packer's amazon builders, whatever order they come in.
func TestIDs(t *testing.T) {
	t.Parallel()
	amis := []RemoteID{{"us-east-1", "ami-123"}, {"eu-west-1", "ami-456"}, {"us-east-1", "ami-123"}}
	for _, c := range []struct {
		ids          []RemoteID
		joined, said string
		amis         bool
	}{
		{amis, "eu-west-1:ami-456,us-east-1:ami-123", "AMIs were created:\neu-west-1: ami-456\nus-east-1: ami-123", true},
		{[]RemoteID{{"", "img-1"}, {"eu-west-1", "ami-456"}}, "img-1,eu-west-1:ami-456", "Images were created:\nimg-1\neu-west-1: ami-456", false},
		{nil, "", "Images were created:\n", false},
	} {
		if got := JoinIDs(c.ids); got != c.joined {
			t.Errorf("JoinIDs(%v) = %q, want %q", c.ids, got, c.joined)
		}
		if got := DescribeIDs(c.ids); got != c.said {
			t.Errorf("DescribeIDs(%v) = %q, want %q", c.ids, got, c.said)
		}
		if got := AMIs(c.ids); got != c.amis {
			t.Errorf("AMIs(%v) = %t, want %t", c.ids, got, c.amis)
		}
	}
	if got := amis[1].URI(); got != "arn:aws:ec2:eu-west-1::image/ami-456" {
		t.Errorf("URI = %q", got)
	}
}
