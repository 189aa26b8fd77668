package ami_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:eu-west-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"
	on := ami.Encryption{Boot: aws.Bool(true)}
	for _, tt := range []struct {
		w    ami.Wanted
		want []string // none for a good one
	}{
		{ami.Wanted{Name: "Debian 12 (2026-11-27) [x]/a_b@c'd."}, nil},
		{ami.Wanted{Name: "ab"}, []string{`"ab"`}},
		{ami.Wanted{Name: strings.Repeat("a", 129)}, []string{"ami_name"}},
		{ami.Wanted{Name: "a:b:c"}, []string{"a:b:c", "clean_resource_name"}},
		{ami.Wanted{Name: "abc", SkipHome: true, Regions: []string{home}}, []string{"skip_save_build_region"}},
		{ami.Wanted{Name: "abc", SkipHome: true, Regions: []string{"eu-west-1"}}, nil},
		{ami.Wanted{Name: "abc", IMDSSupport: "v1.0"}, []string{"v1.0", "v2.0"}},
		{ami.Wanted{Name: "abc", Sharing: ami.Sharing{Groups: []string{"all"}, SnapshotGroups: []string{"ops"}}}, []string{"ops"}},
		{ami.Wanted{Name: "abc", Encryption: ami.Encryption{Key: key}}, []string{"encrypt_boot"}},
		{ami.Wanted{Name: "abc", Encryption: ami.Encryption{Boot: aws.Bool(false), RegionKeys: map[string]string{home: ""}}}, []string{"encrypt_boot"}},
		{ami.Wanted{Name: "abc", Encryption: ami.Encryption{Boot: on.Boot, Key: "my key", RegionKeys: map[string]string{"eu-west-1": key}}}, []string{"my key", "region_kms_key_ids and not in ami_regions"}},
		{ami.Wanted{Name: "abc", Encryption: on, Sharing: ami.Sharing{Groups: []string{"all"}}}, nil},
		{ami.Wanted{Name: "abc", Encryption: on, Sharing: ami.Sharing{Users: []string{"1"}}}, []string{home, "default key"}},
		{ami.Wanted{Name: "abc", Encryption: ami.Encryption{Boot: on.Boot, Key: "alias/k"}, Sharing: ami.Sharing{SnapshotUsers: []string{"1"}}}, nil},
		{ami.Wanted{Name: "abc", Regions: []string{"eu-west-1"}, Encryption: ami.Encryption{Boot: on.Boot, Key: "alias/k"}, Sharing: ami.Sharing{OUARNs: []string{"1"}}}, []string{"eu-west-1", "default key"}},
		{ami.Wanted{Name: "a", IMDSSupport: "x"}, []string{"ami_name", "imds_support"}}, // all at once
	} {
		err := tt.w.Check(home)
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%+v: %v", tt.w, err)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q in it", tt.w, err, want)
			}
		}
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	w := ami.Wanted{SkipHome: true, Regions: []string{"us-west-2", "eu-west-1", home, "us-west-2"}}
	if got, want := w.Touched(home), []string{home, "eu-west-1", "us-west-2"}; !slices.Equal(got, want) {
		t.Errorf("Touched = %q, want %q", got, want)
	}
}
