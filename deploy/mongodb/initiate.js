// Creates the replica set and its users if they are missing, and ends when they
// exist. mongosh runs this script beside mongod, see start.sh.
//
// Until there is a user, mongod lets a loopback connection create the set and the
// first user. The service's user can read and write only its own database.
const fs = require("fs");

const SERVER = "mongodb://127.0.0.1:27017/admin?directConnection=true&serverSelectionTimeoutMS=2000";
const MEMBER = process.env.MONGODB_MEMBER || "mongodb:27017";
const DATABASE = "rollcall";

const secret = (variable) => fs.readFileSync(process.env[variable], "utf8").trim();
const known = (admin, user, password) => {
  try {
    return admin.auth(user, password).ok === 1;
  } catch {
    return false;
  }
};

function initiate() {
  const root = ["root", secret("MONGODB_ROOT_PASSWORD_FILE")];
  const service = ["rollcall", secret("MONGODB_PASSWORD_FILE")];
  const admin = connect(SERVER);
  if (known(admin, ...service)) {
    return true;
  }
  if (!known(admin, ...root)) {
    if (!admin.hello().setName) {
      admin.adminCommand({
        replSetInitiate: { _id: "rollcall", members: [{ _id: 0, host: MEMBER }] },
      });
    }
    if (!admin.hello().isWritablePrimary) {
      return false;
    }
    admin.createUser({ user: root[0], pwd: root[1], roles: ["root"] });
    admin.auth(...root);
  }
  const roles = [{ role: "readWrite", db: DATABASE }];
  admin.createUser({ user: service[0], pwd: service[1], roles });
  return true;
}

for (;;) {
  try {
    if (initiate()) {
      break;
    }
  } catch (error) {
    // mongod does not run yet, or is not primary yet. A failed command's message contains no secret.
    print(`waiting for mongod: ${error.codeName || error.name}`);
  }
  sleep(1000);
}
