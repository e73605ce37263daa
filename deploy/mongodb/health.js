// Checks whether MongoDB accepts writes from the service's user; if not, mongosh ends with an error.
const password = require("fs").readFileSync(process.env.MONGODB_PASSWORD_FILE, "utf8").trim();
const admin = connect("mongodb://127.0.0.1:27017/admin?directConnection=true&serverSelectionTimeoutMS=2000");
admin.auth("rollcall", password);
if (!admin.hello().isWritablePrimary) {
  throw new Error("not primary");
}
