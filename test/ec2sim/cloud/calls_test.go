package cloud

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// step is a call of awscli: its words, in which $name stands for what an earlier step printed. What it prints must match want,
// whose * stands for anything, and is kept under a name.
type step struct{ keep, words, want string }

// flows call everything that the simulator answers to, by awscli; TestEveryCall sees that nothing is left out.
var flows = map[string][]step{
	"network": {
		{"", "ec2 describe-regions --region-names eu-west-1 --query Regions[].RegionName", "eu-west-1"},
		{"", "ec2 describe-availability-zones --query AvailabilityZones[].ZoneName", "us-east-1a\tus-east-1b"},
		{"vpc", "ec2 describe-vpcs --filters Name=is-default,Values=false --query Vpcs[].VpcId", "vpc-*"},
		{"subnet", "ec2 describe-subnets --filters Name=vpc-id,Values=$vpc --query Subnets[].SubnetId", "subnet-*"},
		{"", "ec2 describe-subnets --query sort_by(Subnets,&AvailableIpAddressCount)[].AvailableIpAddressCount", "251\t4081\t4091"},
		{"", "ec2 describe-instance-type-offerings --location-type availability-zone --filters Name=instance-type,Values=m1.small,t3.micro --query InstanceTypeOfferings[].Location", "us-east-1a\tus-east-1b\tus-east-1a"},
		{"", "ec2 describe-instance-types --instance-types t4g.micro --query InstanceTypes[].ProcessorInfo.SupportedArchitectures[]", "arm64"},
		{"group", "ec2 create-security-group --group-name g --description d --vpc-id $vpc --tag-specifications ResourceType=security-group,Tags=[{Key=k,Value=v}] --query GroupId", "sg-*"},
		{"", "ec2 authorize-security-group-ingress --group-id $group --protocol tcp --port 22 --cidr 192.0.2.1/32", "*"},
		{"", "ec2 describe-security-groups --filters Name=tag:k,Values=v Name=vpc-id,Values=$vpc --query SecurityGroups[].[GroupName,IpPermissions[0].IpRanges[0].CidrIp]", "g\t192.0.2.1/32"},
		{"", "ec2 delete-security-group --group-id $group", ""},
	},
	"keys": {
		{"", "ec2 create-key-pair --key-name k --query KeyMaterial", "-----BEGIN RSA PRIVATE KEY-----*"},
		{"", "ec2 import-key-pair --key-name i --public-key-material fileb://$dir/key.pub --query KeyName", "i"},
		{"", "ec2 describe-key-pairs --query sort_by(KeyPairs,&KeyName)[].KeyName", "i\tk"},
		{"", "ec2 delete-key-pair --key-name k", ""},
		{"", "ec2 delete-key-pair --key-name i", ""},
		{"", "sts get-caller-identity --query Account", Account},
		{"", "sts assume-role --role-arn arn:aws:iam::123456789012:role/r --role-session-name me --query AssumedRoleUser.Arn", "arn:aws:sts::123456789012:assumed-role/r/me"},
		{"", "sts decode-authorization-message --encoded-message ZWMyOlJ1bkluc3RhbmNlcw --query DecodedMessage", "*\"action\":\"ec2:RunInstances\"*"},
	},
	"instance": {
		{"i", "ec2 run-instances --image-id $image --instance-type t3.micro --subnet-id " + privateSubnet + " --associate-public-ip-address --user-data hello --metadata-options HttpTokens=required --client-token c" +
			" --tag-specifications ResourceType=instance,Tags=[{Key=k,Value=v}] ResourceType=volume,Tags=[{Key=k,Value=vol}] --query Instances[].InstanceId", "i-*"},
		{"", "ec2 describe-instances --filters Name=tag:k,Values=v Name=client-token,Values=c --query Reservations[].Instances[].[State.Name,MetadataOptions.HttpTokens]", "running\trequired"},
		{"", "ec2 describe-instance-status --instance-ids $i --query InstanceStatuses[].InstanceStatus.Status", "ok"},
		{"", "ec2 get-console-output --instance-id $i --query InstanceId", "i-*"},
		{"", "ec2 stop-instances --instance-ids $i --query StoppingInstances[].CurrentState.Name", "stopping"},
		{"", "ec2 modify-instance-attribute --instance-id $i --ena-support", ""},
		{"", "ec2 start-instances --instance-ids $i --query StartingInstances[].PreviousState.Name", "stopped"},
		{"vol", "ec2 describe-volumes --filters Name=attachment.instance-id,Values=$i Name=tag:k,Values=vol --query Volumes[].VolumeId", "vol-*"},
		{"snap", "ec2 create-snapshot --volume-id $vol --tag-specifications ResourceType=snapshot,Tags=[{Key=k,Value=s}] --query SnapshotId", "snap-*"},
		{"", "ec2 describe-tags --filters Name=key,Values=k --query sort(Tags[].Value)", "s\tv\tvol"},
		{"", "ec2 create-tags --resources $i $snap --tags Key=more,Value=1", ""},
		{"", "ec2 delete-tags --resources $i --tags Key=k", ""},
		{"", "ec2 describe-tags --filters Name=resource-id,Values=$i --query Tags[].Key", "more"},
		{"copy", "ec2 copy-snapshot --source-region us-east-1 --source-snapshot-id $snap --encrypted --kms-key-id 1234 --query SnapshotId", "snap-*"},
		{"", "ec2 describe-snapshots --snapshot-ids $copy --query Snapshots[].[State,Encrypted,KmsKeyId]", "completed\tTrue\tarn:aws:kms:us-east-1:123456789012:key/1234"},
		{"", "ec2 modify-snapshot-attribute --snapshot-id $copy --attribute createVolumePermission --operation-type add --user-ids 111122223333", ""},
		{"", "ec2 describe-snapshot-attribute --snapshot-id $copy --attribute createVolumePermission --query CreateVolumePermissions[].UserId", "111122223333"},
		{"", "ec2 delete-snapshot --snapshot-id $copy", ""},
		{"", "ec2 delete-snapshot --snapshot-id $snap", ""},
		{"kept", `ec2 run-instances --image-id $image --block-device-mappings [{"DeviceName":"/dev/sdb","Ebs":{"VolumeSize":1,"DeleteOnTermination":false}}] --query Instances[].InstanceId`, "i-*"},
		{"", "ec2 terminate-instances --instance-ids $i $kept --query TerminatingInstances[].CurrentState.Name", "shutting-down\tshutting-down"},
		{"spare", "ec2 describe-volumes --filters Name=status,Values=available --query Volumes[].VolumeId", "vol-*"},
		{"", "ec2 delete-volume --volume-id $spare", ""},
	},
	"spot": {
		{"sir", "ec2 request-spot-instances --spot-price 0.1 --launch-specification ImageId=$image,InstanceType=m1.small --client-token c --query SpotInstanceRequests[].SpotInstanceRequestId", "sir-*"},
		{"i", "ec2 describe-spot-instance-requests --spot-instance-request-ids $sir --query SpotInstanceRequests[].InstanceId", "i-*"},
		{"", "ec2 describe-instances --instance-ids $i --query Reservations[].Instances[].InstanceLifecycle", "spot"},
		{"", "ec2 cancel-spot-instance-requests --spot-instance-request-ids $sir --query CancelledSpotInstanceRequests[].State", "cancelled"},
		{"", "ec2 terminate-instances --instance-ids $i", "*"},
	},
	"image": {
		{"i", "ec2 run-instances --image-id $image --query Instances[].InstanceId", "i-*"},
		{"made", "ec2 create-image --instance-id $i --name made --tag-specifications ResourceType=image,Tags=[{Key=k,Value=v}] ResourceType=snapshot,Tags=[{Key=k,Value=s}] --query ImageId", "ami-*"},
		{"snap", "ec2 describe-images --owners self --filters Name=tag:k,Values=v --query Images[].BlockDeviceMappings[].Ebs.SnapshotId", "snap-*"},
		{"", "ec2 modify-image-attribute --image-id $made --launch-permission Add=[{UserId=111122223333},{OrganizationArn=arn:aws:organizations::1:organization/o-1}]", ""},
		{"", "ec2 describe-image-attribute --image-id $made --attribute launchPermission --query LaunchPermissions[].[UserId,OrganizationArn]", "111122223333\tNone\nNone\tarn:aws:organizations::1:organization/o-1"},
		{"", "ec2 modify-image-attribute --image-id $made --description Value=described", ""},
		{"", "ec2 enable-image-deprecation --image-id $made --deprecate-at 2099-01-01T00:00:00Z", "True"},
		{"", "ec2 describe-images --image-ids $made --query Images[].[Description,DeprecationTime]", "described\t2099-01-01T00:00:00.000Z"},
		{"", "ec2 disable-image-deprecation --image-id $made", "True"},
		{"copy", "ec2 copy-image --region eu-west-1 --source-region us-east-1 --source-image-id $made --name copy --encrypted --client-token c --query ImageId", "ami-*"},
		{"copied", "ec2 describe-images --region eu-west-1 --image-ids $copy --query Images[].BlockDeviceMappings[].Ebs.SnapshotId", "snap-*"},
		{"", "ec2 deregister-image --region eu-west-1 --image-id $copy", ""},
		{"", "ec2 delete-snapshot --region eu-west-1 --snapshot-id $copied", ""},
		{"", "ec2 deregister-image --image-id $made", ""},
		{"registered", `ec2 register-image --name registered --architecture x86_64 --virtualization-type hvm --ena-support --boot-mode uefi --tpm-support v2.0 --root-device-name /dev/xvda --block-device-mappings [{"DeviceName":"/dev/xvda","Ebs":{"SnapshotId":"$snap"}}] --query ImageId`, "ami-*"},
		{"", "ec2 describe-images --image-ids $registered --query Images[].[State,BootMode,TpmSupport,EnaSupport]", "available\tuefi\tv2.0\tTrue"},
		{"", "ec2 deregister-image --image-id $registered", ""},
		{"", "ec2 delete-snapshot --snapshot-id $snap", ""},
		{"", "ec2 terminate-instances --instance-ids $i", "*"},
	},
	"blocks": {
		{"snap", "ebs start-snapshot --volume-size 1 --client-token c --tags Key=k,Value=v --query SnapshotId", "snap-*"},
		{"", "ebs put-snapshot-block --snapshot-id $snap --block-index 3 --block-data $dir/block --data-length 524288 --checksum-algorithm SHA256 --checksum $sum", "*"},
		{"", "ebs complete-snapshot --snapshot-id $snap --changed-blocks-count 1 --query Status", "pending"},
		{"token", "ebs list-snapshot-blocks --snapshot-id $snap --query Blocks[?BlockIndex==`3`].BlockToken", "*"},
		{"", "ebs get-snapshot-block --snapshot-id $snap --block-index 3 --block-token $token $dir/got --query Checksum", "$sum"},
		{"", "ec2 describe-snapshots --filters Name=tag:k,Values=v --query Snapshots[].State", "completed"},
		{"", "ec2 delete-snapshot --snapshot-id $snap", ""},
	},
	"import": {
		{"", "s3 cp --quiet $disk s3://disks/disk.raw", ""},
		{"t", "ec2 import-image --disk-containers Format=raw,UserBucket={S3Bucket=disks,S3Key=disk.raw} --client-token c --boot-mode uefi --query ImportTaskId", "import-ami-*"},
		{"made", "ec2 describe-import-image-tasks --import-task-ids $t --query ImportImageTasks[].[Status,ImageId][]|[1]", "ami-*"},
		{"snap", "ec2 describe-images --image-ids $made --query Images[].BlockDeviceMappings[].Ebs.SnapshotId", "snap-*"},
		{"", "ebs list-snapshot-blocks --snapshot-id $snap --query Blocks[].BlockIndex", "0\t1\t2\t3"},
		{"", "ec2 deregister-image --image-id $made", ""},
		{"", "ec2 delete-snapshot --snapshot-id $snap", ""},
		{"t", "ec2 import-snapshot --disk-container Format=raw,Url=s3://disks/disk.raw --query ImportTaskId", "import-snap-*"},
		{"snap", "ec2 describe-import-snapshot-tasks --import-task-ids $t --query ImportSnapshotTasks[].SnapshotTaskDetail.SnapshotId", "snap-*"},
		{"", "ec2 cancel-import-task --import-task-id $t --query State", "completed"},
		{"", "ec2 delete-snapshot --snapshot-id $snap", ""},
		{"", "s3 rm --quiet s3://disks/disk.raw", ""},
	},
	"s3": {
		{"", "s3api create-bucket --bucket mine", "*"},
		{"", "s3api head-bucket --bucket mine", "*"},
		{"", "s3api get-bucket-location --bucket mine", "*"},
		{"", "s3api list-buckets --query sort(Buckets[].Name)", "disks\tmine"},
		{"", "s3 cp --quiet $dir/large s3://mine/large", ""}, // in parts
		{"", "s3 cp --quiet s3://mine/large $dir/back", ""},
		{"", "s3api put-object --bucket mine --key a/one --body $disk", "*"},
		{"", "s3api copy-object --bucket mine --key a/two --copy-source mine/a/one", "*"},
		{"", "s3api head-object --bucket mine --key a/two --query ContentLength", "2097152"},
		{"", "s3api get-object --bucket mine --key a/two --range bytes=4-7 $dir/four --query ContentLength", "4"},
		{"", "s3api list-objects --bucket mine --prefix a/ --query Contents[].Key", "a/one\ta/two"},
		{"", "s3api list-objects-v2 --bucket mine --delimiter / --query [Contents[].Key,CommonPrefixes[].Prefix][]", "large\ta/"},
		{"up", "s3api create-multipart-upload --bucket mine --key parts --query UploadId", "*"},
		{"etag", "s3api upload-part --bucket mine --key parts --upload-id $up --part-number 1 --body $disk --query ETag", "*"},
		{"", "s3api list-parts --bucket mine --key parts --upload-id $up --query Parts[].Size", "2097152"},
		{"", "s3api list-multipart-uploads --bucket mine --query Uploads[].Key", "parts"},
		{"", `s3api complete-multipart-upload --bucket mine --key parts --upload-id $up --multipart-upload {"Parts":[{"PartNumber":1,"ETag":$etag}]} --query Key`, "parts"},
		{"up", "s3api create-multipart-upload --bucket mine --key never --query UploadId", "*"},
		{"", "s3api abort-multipart-upload --bucket mine --key never --upload-id $up", ""},
		{"", "s3api delete-object --bucket mine --key parts", "*"},
		{"", "s3api delete-objects --bucket mine --delete Objects=[{Key=a/one},{Key=a/two},{Key=large}] --query length(Deleted)", "3"},
		{"", "s3api delete-bucket --bucket mine", ""},
	},
}

// unknownToAwscli are actions that are younger than Debian's awscli: Amazon's library for Go calls them.
func unknownToAwscli(t *testing.T, a account) []string {
	client := ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), Retryer: aws.NopRetryer{}})
	image := a.ok("ec2", "copy-image", "--name", "guarded", "--source-region", "us-east-1", "--source-image-id", a.image, "--query", "ImageId")
	on, err := client.EnableImageDeregistrationProtection(t.Context(), &ec2.EnableImageDeregistrationProtectionInput{ImageId: &image})
	if err != nil || aws.ToString(on.Return) != "enabled-without-cooldown" {
		t.Errorf("%v, %v", on, err)
	}
	a.refused("OperationNotPermitted", "ec2", "deregister-image", "--image-id", image)
	if _, err := client.DisableImageDeregistrationProtection(t.Context(), &ec2.DisableImageDeregistrationProtectionInput{ImageId: &image}); err != nil {
		t.Error(err)
	}
	yes := true
	out, err := client.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &image, DeleteAssociatedSnapshots: &yes})
	if err != nil || len(out.DeleteSnapshotResults) != 1 || out.DeleteSnapshotResults[0].ReturnCode != "success" {
		t.Errorf("%v, %v", out, err)
	}
	return []string{"EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection"}
}

// TestEveryCall has other people's clients call all that the simulator answers to, and leave nothing.
func TestEveryCall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	called, ran := map[string]bool{}, 0
	t.Run("flows", func(t *testing.T) {
		for name, steps := range flows {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := newAccount(t, Config{Hidden: -1})
				names := a.furnish()
				for _, s := range steps {
					a.take(s, names)
				}
				a.left()
				mu.Lock()
				defer mu.Unlock()
				maps.Insert(called, maps.All(a.answered()))
				ran++
			})
		}
		t.Run("newer", func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, Config{Hidden: -1})
			for _, action := range unknownToAwscli(t, a) {
				mu.Lock()
				called[action] = true
				mu.Unlock()
			}
			a.left()
		})
	})
	for _, action := range implemented() {
		if ran == len(flows) && !called[action] { // and not only some of them, by -run
			t.Errorf("no flow calls %s", action)
		}
	}
}

// implemented are all actions that the simulator answers to.
func implemented() []string {
	all := slices.Clone(s3Actions)
	for _, p := range protocols {
		all = slices.AppendSeq(all, maps.Keys(p.actions))
	}
	for _, op := range operations {
		all = append(all, op.name)
	}
	return all
}

// furnish makes files for the steps, and gives their names.
func (a account) furnish() map[string]string {
	a.Helper()
	dir := a.TempDir()
	for name, text := range map[string]string{
		"key.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGHZyHnLvbnSWSXkxHGaz9DWzUuNsFcPX0Uq3yDYzsH me",
		"block":   strings.Repeat("\x07", BlockSize),
		"large":   strings.Repeat("large", 2<<20),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			a.Fatal(err)
		}
	}
	return map[string]string{"dir": dir, "disk": a.disk, "image": a.image, "sum": "tAwxgAgWAt0K1xXWD3v780t3erlGZ/MYbDLRljAlS8c="}
}

// take does a step once all is done that earlier ones began.
func (a account) take(s step, names map[string]string) {
	a.Helper()
	expand := func(text string) string { return os.Expand(text, func(name string) string { return names[name] }) }
	a.cloud.work.Wait()
	var args []string
	for word := range strings.FieldsSeq(s.words) {
		args = append(args, expand(word))
	}
	out := a.ok(args...)
	if want := expand(s.want); out != want && !matches(want, out) {
		a.Errorf("aws %s:\n%s\nand not\n%s", strings.Join(args, " "), out, want)
	}
	if s.keep != "" {
		names[s.keep] = out
	}
}

// answered are the actions that were called and not refused: all, as a step that is refused ends its flow.
func (a account) answered() map[string]bool {
	all := map[string]bool{}
	for action := range a.cloud.Calls() {
		all[action] = true
	}
	return all
}

// left sees that nothing is left.
func (a account) left() {
	a.Helper()
	a.cloud.work.Wait()
	if left := a.cloud.Objects(); len(left) != 0 {
		a.Errorf("left is %+v", left)
	}
}
