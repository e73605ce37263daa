// Whether MongoDB takes writes of the service's user: mongosh ends with an error if not.
const password = require("fs").readFileSync(process.env.MONGODB_PASSWORD_FILE, "utf8").trim();
const admin = connect("mongodb://127.0.0.1:27017/admin?directConnection=true&serverSelectionTimeoutMS=2000");
admin.auth("rollcall", password);
if (!admin.hello().isWritablePrimary) {
  throw new Error("not primary");
}
