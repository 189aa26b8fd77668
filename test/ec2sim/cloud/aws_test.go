package cloud

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestImageOfAnInstance is the way of amazon-ebs, by awscli: key, group, instance, image, and everything away again.
func TestImageOfAnInstance(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{})
	if got := a.ok("ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values=b?se", "--query", "Images[].ImageId"); got != a.image {
		a.Fatalf("the image is %s, not %q", a.image, got)
	}
	if key := a.ok("ec2", "create-key-pair", "--key-name", "k", "--key-type", "ed25519", "--query", "KeyMaterial"); !strings.HasPrefix(key, "-----BEGIN OPENSSH PRIVATE KEY-----") {
		a.Errorf("the key is\n%s", key)
	}
	group := a.ok("ec2", "create-security-group", "--group-name", "g", "--description", "d", "--query", "GroupId")
	a.ok("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "127.0.0.1/32")
	run := []string{"ec2", "run-instances", "--image-id", a.image, "--instance-type", "t3.micro", "--key-name", "k", "--security-group-ids", group, "--client-token", "once",
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=made,Value=by}]", "--query", "Instances[0].InstanceId"}
	instance := a.ok(run...)
	if again := a.ok(run...); again != instance {
		a.Errorf("one ClientToken started %s and %s", instance, again)
	}
	a.refused("InvalidInstanceID.NotFound", "ec2", "describe-instances", "--instance-ids", instance) // not yet
	a.until("running", "ec2", "describe-instances", "--filters", "Name=client-token,Values=once", "--query", "Reservations[].Instances[].State.Name")
	a.refused("DependencyViolation", "ec2", "delete-security-group", "--group-id", group)
	made := a.ok("ec2", "create-image", "--instance-id", instance, "--name", "made", "--query", "ImageId")
	a.refused("InvalidAMIName.Duplicate", "ec2", "create-image", "--instance-id", instance, "--name", "made")
	a.refused("InvalidAMIID.NotFound", "ec2", "describe-images", "--image-ids", made) // not yet
	a.until("available", "ec2", "describe-images", "--image-ids", made, "--query", "Images[0].State")
	a.ok("ec2", "terminate-instances", "--instance-ids", instance)
	a.until("terminated", "ec2", "describe-instances", "--instance-ids", instance, "--query", "Reservations[].Instances[].State.Name")
	a.until("", "ec2", "delete-security-group", "--group-id", group) // once the network interface is gone
	a.ok("ec2", "delete-key-pair", "--key-name", "k")
	snapshot := a.ok("ec2", "describe-images", "--image-ids", made, "--query", "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId")
	a.refused("InvalidSnapshot.InUse", "ec2", "delete-snapshot", "--snapshot-id", snapshot)
	a.ok("ec2", "deregister-image", "--image-id", made)
	a.ok("ec2", "delete-snapshot", "--snapshot-id", snapshot)
	if left := a.cloud.Objects(); len(left) != 0 {
		a.Errorf("left is %+v", left)
	}
}

// TestFaults injects what goes wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{})
	for _, text := range []string{"DescribeRegions:RequestLimitExceeded:1", "RunInstances:InsufficientInstanceCapacity:1", "StopInstances:UnauthorizedOperation", "AssumeRole:UnauthorizedOperation",
		"StartSnapshot:UnauthorizedOperation", "PutObject:UnauthorizedOperation", "eu-west-1/DescribeImages:RequestExpired", "RunInstances:StaysHidden=150ms:1", "ImportImage:NoRole:1"} {
		f, err := ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		a.cloud.Inject(f)
	}
	a.refused("RequestLimitExceeded", "ec2", "describe-regions")
	a.ok("ec2", "describe-regions")
	a.refused("InsufficientInstanceCapacity", "ec2", "run-instances", "--image-id", a.image)
	a.refused("RequestExpired", "ec2", "describe-images", "--region", "eu-west-1")
	a.refused("AuthFailure", "ec2", "describe-images", "--region", "mars-north-1")
	a.refused("InvalidAction", "ec2", "describe-hosts")
	a.refused("NotImplemented", "s3api", "get-bucket-acl", "--bucket", "disks")
	a.refused("UnsupportedOperation", "ec2", "run-instances", "--image-id", a.image, "--count", "2")
	a.refused("InvalidParameter", "ec2", "import-image", "--disk-containers", "Format=raw,UserBucket={S3Bucket=disks,S3Key=x}")
	instance := a.ok("ec2", "run-instances", "--image-id", a.image, "--query", "Instances[0].InstanceId")
	a.until("running", "ec2", "describe-instances", "--query", "Reservations[].Instances[].State.Name")
	if out, err := a.call("ec2", "stop-instances", "--instance-ids", instance); err == nil || !strings.Contains(out, "is not authorized to perform: ec2:StopInstances") || !strings.Contains(out, "Encoded authorization failure message: ") {
		t.Errorf("%v: %s", err, out)
	}
	a.refused("AccessDenied", "sts", "assume-role", "--role-arn", "arn:aws:iam::123456789012:role/x", "--role-session-name", "me")
	a.refused("AccessDeniedException", "ebs", "start-snapshot", "--volume-size", "1")
	a.refused("AccessDenied", "s3api", "put-object", "--bucket", "disks", "--key", "x")
	if out, err := http.Get(a.url + "/?Action=DescribeImages"); err != nil || out.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a signature: %v, %v", out, err)
	}
	for _, bad := range []string{"", "x", ":y", "a:b:0", "a:b:c:d"} {
		if f, err := ParseFault(bad); err == nil {
			t.Errorf("%q is %+v", bad, f)
		}
	}
}

// TestMisfortunes are faults that are no errors of a call.
func TestMisfortunes(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{Hidden: -1})
	state := func(id string) []string {
		return []string{"ec2", "describe-instances", "--instance-ids", id, "--query", "Reservations[].Instances[].[State.Name,StateReason.Code]"}
	}
	a.cloud.Inject(Fault{Action: "RunInstances", Code: InstanceDies, Count: 1})
	run := []string{"ec2", "run-instances", "--image-id", a.image, "--query", "Instances[0].InstanceId"}
	a.until("terminated\tServer.InternalError", state(a.ok(run...))...)
	spot := a.ok(append(run, "--instance-market-options", "MarketType=spot")...)
	a.until("running\tNone", state(spot)...)
	if err := a.cloud.Interrupt(spot); err != nil {
		t.Fatal(err)
	}
	a.until("terminated\tServer.SpotInstanceTermination", state(spot)...)
	a.until("closed\tinstance-terminated-no-capacity", "ec2", "describe-spot-instance-requests", "--query", "SpotInstanceRequests[].[State,Status.Code]")
	a.refused("SpotMaxPriceTooLow", append(run, "--instance-market-options", "MarketType=spot,SpotOptions={MaxPrice=0.0001}")...)
	a.cloud.Inject(Fault{Action: "RequestSpotInstances", Code: NoCapacity})
	a.ok("ec2", "request-spot-instances", "--launch-specification", "ImageId="+a.image+",InstanceType=t3.micro", "--query", "SpotInstanceRequests[0].SpotInstanceRequestId")
	a.until("capacity-not-available", "ec2", "describe-spot-instance-requests", "--filters", "Name=state,Values=open", "--query", "SpotInstanceRequests[].Status.Code")
	a.cloud.Inject(Fault{Action: "CopyImage", Code: SnapshotFails})
	a.ok("ec2", "copy-image", "--name", "copied", "--source-region", "us-east-1", "--source-image-id", a.image)
	a.until("failed", "ec2", "describe-images", "--filters", "Name=name,Values=copied", "--query", "Images[].State")
	a.until("error", "ec2", "describe-snapshots", "--filters", "Name=description,Values=Copied*", "--query", "Snapshots[].State")
	a.cloud.Inject(Fault{Action: "ImportSnapshot", Code: ImportFails, With: "ClientError: No valid partitions. Not a valid volume."})
	a.ok("s3", "cp", "--quiet", a.disk, "s3://disks/x.raw")
	a.ok("ec2", "import-snapshot", "--disk-container", "Format=raw,UserBucket={S3Bucket=disks,S3Key=x.raw}")
	a.until("deleted\tClientError: No valid partitions. Not a valid volume.", "ec2", "describe-import-snapshot-tasks", "--query", "ImportSnapshotTasks[].SnapshotTaskDetail.[Status,StatusMessage]")
}

// TestTerminatedWhileStopping: an instance that is terminated while it stops is terminated in the end, whoever is quicker.
func TestTerminatedWhileStopping(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{Hidden: -1})
	instance := a.ok("ec2", "run-instances", "--image-id", a.image, "--query", "Instances[0].InstanceId")
	a.cloud.work.Wait()
	a.cloud.cfg.Pace = 300 * time.Millisecond
	a.ok("ec2", "stop-instances", "--instance-ids", instance)
	a.ok("ec2", "terminate-instances", "--instance-ids", instance)
	a.cloud.work.Wait()
	if left := a.cloud.Objects(); len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
}

// TestSessions: credentials of a role are good with their token only, and not for ever.
func TestSessions(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{})
	keys := strings.Fields(a.ok("sts", "assume-role", "--role-arn", "arn:aws:iam::123456789012:role/kiln", "--role-session-name", "me", "--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]"))
	role := a.as(keys[0], keys[1], keys[2])
	const want = "arn:aws:sts::123456789012:assumed-role/kiln/me"
	if got := role.ok("sts", "get-caller-identity", "--query", "Arn"); got != want {
		t.Errorf("the role is %s, not %s", got, want)
	}
	role.ok("ec2", "describe-images")
	a.as(keys[0], keys[1], "another").refused("AuthFailure", "ec2", "describe-images")
	a.cloud.Expire()
	role.refused("RequestExpired", "ec2", "describe-images")
	role.refused("ExpiredToken", "sts", "get-caller-identity")
}

// TestHook: a hook sees a request when it has had its effect, and may keep its answer back.
func TestHook(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{})
	var seen []string
	a.cloud.AfterCalls(func(r Request) {
		seen = append(seen, r.Action)
		if r.Action == "CreateKeyPair" {
			if n := a.cloud.Count()["key pairs"]; n != 1 {
				t.Errorf("there are %d key pairs", n)
			}
			panic(http.ErrAbortHandler)
		}
	})
	if out, err := a.call("ec2", "create-key-pair", "--key-name", "k"); err == nil || !strings.Contains(out, "Connection was closed") {
		t.Errorf("%v: %s", err, out)
	}
	a.ok("s3", "cp", "--quiet", a.disk, "s3://disks/x")
	if got := strings.Join(seen, " "); got != "CreateKeyPair PutObject" {
		t.Errorf("seen is %s", got)
	}
}

// TestObjectsPage: other processes can ask for what is left.
func TestObjectsPage(t *testing.T) {
	t.Parallel()
	a := newAccount(t, Config{})
	page := func() string {
		out, err := http.Get(a.url + objectsPath)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close()
		text, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	if got := page(); got != "[]" {
		t.Errorf("in the beginning there is %s", got)
	}
	id := a.ok("ec2", "create-key-pair", "--key-name", "k", "--tag-specifications", "ResourceType=key-pair,Tags=[{Key=made,Value=by}]", "--query", "KeyPairId")
	if got, want := page(), `[{"kind":"key pairs","region":"us-east-1","id":"`+id+`","name":"k","tags":{"made":"by"}}]`; got != want {
		t.Errorf("there is %s, not %s", got, want)
	}
}
